# SPDX-License-Identifier: MIT
"""What the command prints: what was read, how the training goes, how good the forecasts are."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text


class Report:
    """Prints to standard output; nothing that comes from a file is read as markup."""

    def __init__(self):
        self.console = Console(highlight=False)

    def say(self, text):
        """One line."""
        self.console.print(Text(text), soft_wrap=True)

    def series(self, study):
        """What the series are, and what was decided about them."""
        tracks, plan = study.tracks, study.plan
        for track in tracks.tracks[:10]:
            name = track.column + (f" of {track.group}" if track.group is not None else "")
            first, last = tracks.text(track.index[:1])[0], tracks.text(track.index[-1:])[0]
            self.say(f"{name}: {len(track.values):,} values from {first} to {last}")
        if len(tracks.tracks) > 10:
            self.say(f"and {len(tracks.tracks) - 10} more")
        for note in tracks.notes:
            self.say(f"  {note}")
        for what, names in (("known ahead", plan.known), ("known up to now", plan.past)):
            if names:
                self.say(f"  {', '.join(names)}: {what}")

    def training(self, run, budget):
        """Run `run(progress)` under a bar with speed and time left; returns what it returns."""
        columns = (
            TextColumn("training"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task("training", total=None, note=f"at most {budget:g} s (--budget)")

            def show(state):
                note = (
                    f"{state.windows_per_second:,.0f} windows/s  {state.remaining:.0f} of {budget:g} s left"
                )
                bars.update(task, total=state.steps, completed=state.step, note=note)
                show.state = state

            show.state = None
            run(show)
        state = show.state
        if state is not None:
            self.say(
                f"trained {state.step:,} steps in {state.elapsed:.1f} of {budget:g} s, "
                f"{state.windows_per_second:,.0f} windows/s"
            )

    def scores(self, column, model, result, unit):
        """The table of errors, what its lines are, and who won by how much."""
        scores, horizon = result.scores, model.horizon
        made, unit = f"{len(result.truth):,} forecasts of {horizon} steps", f", in {unit}" if unit else ""
        self.say(f"{column}: how far {made} missed the values held out{unit}")
        table = Table()
        table.add_column("forecast")
        heads = ("MAE", "RMSE", "MAE 1 step", f"MAE {horizon} steps") if horizon > 1 else ("MAE", "RMSE")
        for head in heads:
            table.add_column(head, justify="right")
        for name, (mae, rmse) in scores.items():
            steps = result.by_step(name)
            numbers = (mae, rmse, steps[0], steps[-1])[: len(heads)]
            table.add_row(Text(name), *(f"{number:.4g}" for number in numbers))
        self.console.print(table)
        for name in scores:
            self.say(f"  {name}: {meaning(name)}")
        self.say("  MAE: mean absolute error; RMSE: root mean square error, which large misses dominate")
        for line in verdict(model, scores):
            self.say(line)
        held = " and ".join(f"{share:.0%} in the {level:.0%} one" for level, share in result.coverage.items())
        if held:
            self.say(f"intervals: of the test values, {held}")


def meaning(name):
    """What a line of the table is."""
    if name.startswith("rnncore"):
        return "networks that read the values before, the calendar, covariates and the linear autoregression"
    if name == "linear autoregression":
        return "ridge regressions on the same inputs, one for each step ahead"
    if name == "last value":
        return "the last known value, repeated"
    return f"the last {name.partition('(')[2].rstrip(')')} known values, repeated"


def verdict(model, scores):
    """Sentences: how the networks did against the best of the others, and what they were given to say."""
    (name, (mine, _)), *others = scores.items()
    others = sorted(others, key=lambda other: other[1][0])
    parts = [f"{_change(mine, theirs)} {other}" for other, (theirs, _) in others]
    yield f"{name} misses by {', by '.join(parts)}"
    if others[0][1][0] < mine and _change(mine, others[0][1][0]) != SAME:
        yield f"here a simpler forecast is the better one: {others[0][0]}"
    if model.share_ == 0:
        yield "on windows that it was not trained on the network added nothing: what is shown is its linear part"
    elif model.share_ < 1:
        yield f"its forecast is {model.share_:.0%} network and {1 - model.share_:.0%} linear autoregression"


SAME = "as much as"


def _change(mine, theirs):
    """How much less or more an error is than another, in words."""
    change = 1 - mine / theirs if theirs else 0.0
    if abs(change) < 0.0005:
        return SAME
    return f"{change:.1%} less than" if change > 0 else f"{-change:.1%} more than"
