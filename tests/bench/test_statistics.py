# SPDX-License-Identifier: MIT
"""The statistics of a study, on blocks whose true ratios are known."""

import numpy as np
import pytest
import tables_training as tables

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")

from rnncore.bench.study import statistics  # noqa: E402

SHAPES = [(3, 10), (5, 6)]
"""Preparations and blocks in each, of the quick and of the full profile."""
NOISES = {
    "blocks alone": dict(noise=0.01, layout=0.0),
    "blocks and preparations": dict(noise=0.01, layout=0.01),
    "preparations alone": dict(noise=0.002, layout=0.02),
    "two layouts": dict(noise=0.005, layout=0.02, two=True),
    "interrupted": dict(noise=0.01, layout=0.01, interrupted=0.1),
}


def blocks(rng, count, shape, true=1.0, *, noise, layout, two=False, interrupted=0.0):
    """Ratios of two systems in blocks, `count` of them, as `estimates` takes them."""
    logs = np.full((count, *shape), np.log(true))
    for sign in (1, -1):
        draws = rng.standard_normal((count, shape[0], 1))
        logs += sign * layout * (2 * (draws > 0.5) if two else draws)
        late = rng.random(logs.shape) < interrupted
        logs += sign * (noise * rng.standard_normal(logs.shape) + 0.3 * late)
    index = pd.MultiIndex.from_product([range(count), range(shape[0]), range(shape[1])])
    index.names = ["row", "preparation", "block"]
    return pd.DataFrame({"value": np.exp(logs).ravel()}, index).reset_index()


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_hold_the_true_ratio(shape, kind):
    """In 95 of 100 studies, but for the luck of 400 of them."""
    rng = np.random.default_rng(7)
    found = statistics.estimates(blocks(rng, 400, shape, 1.3, **NOISES[kind]), ["row"])
    assert len(found) == 400
    assert ((found["low"] <= 1.3) & (found["high"] >= 1.3)).mean() >= 0.93


@pytest.mark.parametrize("shape", SHAPES)
def test_one_build_under_two_names_ties(shape):
    """At least 95 % of the rows, over all kinds of noise."""
    rng = np.random.default_rng(8)
    found = [statistics.estimates(blocks(rng, 150, shape, **kind), ["row"]) for kind in NOISES.values()]
    assert (statistics.verdicts(pd.concat(found)) == "tie").mean() >= 0.95


def test_differences_beyond_noise_are_found():
    rng = np.random.default_rng(9)
    quiet = dict(noise=0.01, layout=0.003)
    for true, word in ((1.05, "win"), (1 / 1.05, "loss")):
        found = statistics.estimates(blocks(rng, 100, (3, 10), true, **quiet), ["row"])
        assert (statistics.verdicts(found) == word).mean() > 0.9


def test_a_ratio_and_its_inverse_get_the_same_interval():
    values = blocks(np.random.default_rng(1), 5, (3, 10), 1.2, noise=0.02, layout=0.01)
    found = statistics.estimates(values, ["row"])
    inverse = statistics.estimates(values.assign(value=1 / values["value"]), ["row"])
    assert found["ratio"].to_numpy() == pytest.approx(
        1 / inverse["ratio"].to_numpy(), rel=tables.WRITTEN_RTOL
    )
    widths = found["half"].to_numpy()
    assert (widths >= statistics.ROUNDING).all()
    assert (np.abs(np.log(widths / inverse["half"].to_numpy())) < 0.2).all()


def test_figures_of_four_digits_are_no_better_known():
    values = pd.DataFrame({"row": 0, "preparation": [0, 0, 1, 1], "value": 1.0005})
    (found,) = statistics.estimates(values, ["row"]).itertuples()
    assert found.half == statistics.ROUNDING
    assert statistics.verdicts(statistics.estimates(values, ["row"])).to_list() == ["tie"]


def test_one_block_tells_nothing():
    frame = pd.DataFrame({"row": [0], "preparation": [0], "value": [2.0]})
    found = statistics.estimates(frame, ["row"])
    assert found[["ratio", "low", "high"]].to_numpy().tolist() == [[2.0, 0.0, np.inf]]
    assert statistics.geometric_mean(found)["high"] == np.inf


@pytest.mark.parametrize("preparations", [[0] * 8, [0, 1, 2, 3], [0, 0, 0, 1]])
def test_any_number_of_preparations_and_blocks_will_do(preparations):
    values = np.exp(np.linspace(-0.1, 0.3, len(preparations)))
    frame = pd.DataFrame({"row": 0, "preparation": preparations, "value": values})
    (found,) = statistics.estimates(frame, ["row"]).itertuples()
    assert found.low < found.ratio < found.high
    assert found.blocks == len(preparations)


def test_a_mean_is_better_known_than_its_parts():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(40):
        found = statistics.estimates(blocks(rng, 12, (3, 10), 1.1, noise=0.01, layout=0.02), ["row"])
        mean = statistics.geometric_mean(found)
        assert mean["half"] < found["half"].max()
        held += mean["low"] <= 1.1 <= mean["high"]
    assert held >= 36


def test_the_best_other_is_the_least_ratio():
    lines = [
        ("won", "a", 1.2, 1.1, 1.3), ("won", "b", 1.15, 1.01, 1.4),
        ("tied", "a", 1.2, 1.1, 1.3), ("tied", "b", 1.01, 0.99, 1.03),
        ("lost", "a", 1.2, 1.1, 1.3), ("lost", "b", 0.9, 0.8, 0.95),
        ("open", "a", 0.97, 0.93, 1.01), ("open", "b", 0.98, 0.97, 0.99),
    ]  # fmt: skip
    frame = pd.DataFrame(lines, columns=["row", "system", "ratio", "low", "high"])
    found = statistics.against_best(frame).set_index("row")
    assert found["system"].to_dict() == {"won": "b", "tied": "b", "lost": "b", "open": "a"}
    assert found["verdict"].to_dict() == {"won": "win", "tied": "tie", "lost": "loss", "open": "loss"}
    assert found.loc["won", "low"] == 1.01 and found.loc["won", "high"] == 1.3


def test_of_equal_systems_none_is_beaten():
    """The best of five equal others is chosen by luck: rows are rarely lost to it, and never won against it."""
    rng, count = np.random.default_rng(4), 120
    parts = [blocks(rng, count, (3, 10), noise=0.01, layout=0.01).assign(system=name) for name in "abcde"]
    found = statistics.against_best(statistics.estimates(pd.concat(parts), ["row", "system"]))
    assert found["ratio"].median() < 1
    assert (found["verdict"] == "win").mean() <= 0.01
    assert (found["verdict"] == "loss").mean() <= 5 * 0.025


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_steps_down(p, adjusted):
    found = statistics.holm(np.array(p, dtype=float))
    assert list(found) == pytest.approx(adjusted, rel=tables.WRITTEN_RTOL)


def test_signed_ranks_find_what_all_shapes_say():
    spread = np.exp(np.linspace(-0.05, 0.06, 20))
    sets = {"faster": 1.2 * spread, "same": spread, "few": 1.2 * spread[:5]}
    frame = pd.concat(pd.DataFrame({"set": name, "ratio": values}) for name, values in sets.items())
    found = statistics.signed_rank(frame, ["set"]).set_index("set")
    assert list(found.index) == ["faster", "same"]
    assert found.loc["faster", "holm"] == 2 * found.loc["faster", "p"]
    assert found["holm"].lt(0.05).to_dict() == {"faster": True, "same": False}


def test_two_studies_of_one_thing_agree():
    rng = np.random.default_rng(6)
    one, two = (
        statistics.estimates(blocks(rng, 300, (3, 10), 1.5, noise=0.01, layout=0.01), ["row"])
        for _ in range(2)
    )
    assert statistics.agreement(one, two, ["row"])["agrees"].mean() >= 0.93
    slower = two.assign(ratio=two["ratio"] * 1.2)
    assert statistics.agreement(one, slower, ["row"])["agrees"].mean() < 0.1
