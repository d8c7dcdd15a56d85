# SPDX-License-Identifier: MIT
"""Train a `windows.Model`, forecast before every hour of the test part, compare, draw: for `hours` and `air`."""

import copy
import json

import numpy as np

from examples import common, data
from examples.forecasting import baselines, windows
from examples.forecasting.windows import HORIZON, LEVELS, MEDIAN

AHEAD = {"weather up to now": False, "weather ahead known": True}


def run(task, arguments, out):
    """The whole example; gives the figures that are also written to results.json."""
    series = task.series()
    settings = task.QUICK if arguments.quick else task.FULL
    valid_start, test_start = task.parts(series)
    train, valid, test = windows.splits(series, settings.context, valid_start, test_start)
    model = windows.Model(series, settings, train, arguments.seed)
    log = common.Log(out)
    model.fit(train, valid[::5], **common.training(log, arguments, "window"))
    log(f"data: {data.SOURCES[task.SOURCE].credit}")
    log(f"{len(train)} windows of training, {len(valid)} of validation, {len(test)} of the test")
    size = model.save(out / "model.safetensors", test[:50])
    log(f"model.safetensors: {size} bytes, rnncore.load gives the same outputs to the last bit")

    forecasts = {name: baselines.naive(series, test, lag) for name, lag in baselines.NAIVE.items()}
    before = np.arange(train[0], test_start - HORIZON + 1)
    quantiles = {}
    for name, ahead in AHEAD.items():
        forecasts[f"linear, {name}"] = baselines.linear(series, before, test, ahead)
        quantiles[name] = intervals(model, valid, test, ahead)
        forecasts[f"GRU, {name}"] = quantiles[name][..., MEDIAN]
    truth = [array.T for array in series.targets(test)]
    found = {"mae": table(forecasts, truth, task.UNIT, log), "coverage": {}}
    for name in AHEAD:
        found["coverage"][name] = coverage(quantiles[name], truth, name, task.UNIT, log)
    found["speed"] = speed(model, train[: settings.batch], arguments, log)
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(task, series, test, forecasts, quantiles, found, out)
    return found


def intervals(model, valid, test, ahead):
    """Quantiles (n, HORIZON, Q) of the test forecasts, calibrated on what was known before each."""
    origins = np.arange(valid[0], test[-1] + 1)
    value, seen = (array.T for array in model.series.targets(origins))
    return windows.calibrate(model.predict(origins, ahead), value, seen, test[0] - valid[0])


def errors(forecast, truth):
    """Absolute errors (n, HORIZON), NaN where nothing was measured."""
    value, seen = truth
    return np.where(seen, np.abs(forecast - value), np.nan)


def table(forecasts, truth, unit, log):
    """Log mean absolute errors; gives for each forecast those of 1 h, of 24 h and over all hours to 24."""
    found = {}
    log(f"\nmean absolute error, {unit}            1 h ahead   24 h ahead   1 to 24 h")
    for name, forecast in forecasts.items():
        missed = np.nanmean(errors(forecast, truth), axis=0)
        found[name] = [missed[0], missed[-1], np.nanmean(errors(forecast, truth))]
        log(f"  {name:34} {found[name][0]:9.2f} {found[name][1]:12.2f} {found[name][2]:11.2f}")
    best = [min(found[name][k] for name in baselines.NAIVE) for k in range(3)]
    for name in forecasts:
        if name.startswith("GRU"):
            less = [f"{1 - mine / naive:.1%}" for mine, naive in zip(found[name], best, strict=True)]
            log(f"{name}: below the best naive forecast by {less[0]}, {less[1]}, {less[2]}")
    return found


def coverage(quantiles, truth, name, unit, log):
    """Log how many test hours the intervals hold; gives {level: [1 h ahead, 1 to 24 h]}."""
    value, seen = truth
    found = {}
    for level, (low, high) in LEVELS.items():
        inside = np.where(seen, (value >= quantiles[..., low]) & (value <= quantiles[..., high]), np.nan)
        found[level] = [float(np.nanmean(inside[:, 0])), float(np.nanmean(inside))]
        width = (quantiles[..., high] - quantiles[..., low]).mean()
        first, all_hours = found[level]
        log(
            f"{level:.0%} interval, {name}: holds {first:.1%} of the hours 1 h ahead, {all_hours:.1%} of those "
            f"1 to 24 h ahead; mean width {width:.0f} {unit}"
        )
    return found


def speed(model, origins, arguments, log):
    """Training speed beside PyTorch: windows built, forward, loss, backward, update; of a copy."""
    model = copy.deepcopy(model)
    s, rng = model.settings, np.random.default_rng(0)
    optimizer = model.optimizer()

    def ours():
        _, count, grads = model.train(origins, rng)
        optimizer.step(grads, grad_scale=1.0 / count)

    def theirs():
        import torch

        twins = [common.torch_twin(module) for module in (model.layer, model.head)]
        parameters = [p for twin in twins for p in twin.parameters()]
        update = torch.optim.AdamW(parameters, lr=s.lr, weight_decay=s.weight_decay)
        share = torch.tensor(windows.QUANTILES)
        spread = torch.tensor(model.spread, dtype=torch.float32)

        def step():
            x = torch.from_numpy(model.series.window(origins, s.context, rng.random(len(origins)) < 0.5))
            value, seen = (torch.from_numpy(a) for a in model.series.targets(origins))
            level = torch.from_numpy(model.series.level[origins]).float()[:, None]
            ahead = torch.nn.functional.dropout(twins[0](x)[0][s.context :], s.dropout)
            error = (
                value.float()[..., None] + model.series.offset - torch.exp(spread * twins[1](ahead) + level)
            )
            weight = (torch.from_numpy(model.weight) * seen).float()[..., None]
            loss = (torch.maximum(share * error, (share - 1) * error) * weight).sum() / weight.sum()
            update.zero_grad()
            (loss / model.scale).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            update.step()

        return step

    return common.compare_speed(
        ours,
        theirs,
        len(origins) * (s.context + HORIZON),
        log,
        unit="hour",
        threads=arguments.threads,
        seconds=1.0 if arguments.quick else 8.0,
    )


def draw(task, series, test, forecasts, quantiles, found, out):
    """forecast.png: two weeks of forecasts made at midnight, errors and coverage by hours ahead."""
    plt = common.pyplot()
    figure = plt.figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplot_mosaic("AA;BC", height_ratios=(1.2, 1))
    name = "weather ahead known" if task.WEATHER_AHEAD else "weather up to now"
    fan(axes["A"], task, series, test, quantiles[name])
    axes["A"].set_title(f"{task.TITLE}: each midnight a forecast of the next 24 hours, {name}", loc="left")
    axes["A"].set_ylabel(task.UNIT)
    truth, hours = [array.T for array in series.targets(test)], np.arange(1, HORIZON + 1)
    naive = np.min([np.nanmean(errors(forecasts[n], truth), axis=0) for n in baselines.NAIVE], axis=0)
    axes["B"].plot(hours, naive, color="0.5", label="best naive")
    for kind, color in (("linear", "C1"), ("GRU", "C0")):
        for some, style in zip(AHEAD, ("-", "--"), strict=True):
            missed = np.nanmean(errors(forecasts[f"{kind}, {some}"], truth), axis=0)
            axes["B"].plot(hours, missed, style, color=color, label=f"{kind}, {some}")
    axes["B"].set(xlabel="hours ahead", ylabel=f"mean absolute error, {task.UNIT}", ylim=(0, None))
    axes["B"].legend(frameon=False, fontsize=8)
    value, seen = truth
    for level, (low, high) in LEVELS.items():
        for some, style in zip(AHEAD, ("-", "--"), strict=True):
            inside = (value >= quantiles[some][..., low]) & (value <= quantiles[some][..., high])
            share = 100 * np.nanmean(np.where(seen, inside, np.nan), axis=0)
            axes["C"].plot(hours, share, style, color="C0", label=some if level == 0.8 else None)
        axes["C"].axhline(100 * level, color="0.5", linewidth=0.8)
    axes["C"].set(xlabel="hours ahead", ylabel="% of hours inside the interval", ylim=(60, 100))
    axes["C"].legend(frameon=False, fontsize=8, loc="lower right")
    common.save_picture(figure, out / "forecast.png", data.SOURCES[task.SOURCE].credit)


def fan(axis, task, series, test, quantiles, days=14):
    """Fourteen forecasts with their intervals, and what was measured."""
    for day in range(days):
        hour = task.SHOWN + 24 * day
        q, x = quantiles[hour - test[0]], task.when(hour + np.arange(HORIZON))
        for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.3)):
            axis.fill_between(x, q[:, low], q[:, high], color="C0", alpha=alpha, linewidth=0)
        axis.plot(x, q[:, MEDIAN], color="C0", linewidth=1.2)
    hours = task.SHOWN + np.arange(24 * days)
    measured = np.where(series.seen[hours], series.value[hours], np.nan)
    axis.plot(task.when(hours), measured, color="0.15", linewidth=1, label="measured")
    axis.plot([], [], color="C0", label="forecast, 80 % and 95 % interval")
    axis.legend(frameon=False, ncols=2, loc="upper right")
    axis.set_xlim(task.when(hours[0]), task.when(hours[-1]))
    axis.set_ylim(
        0, 1.15 * max(np.nanmax(measured), quantiles[hours[0] - test[0] :][: len(hours), 0, 4].max())
    )
