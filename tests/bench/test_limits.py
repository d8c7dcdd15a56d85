# SPDX-License-Identifier: MIT
"""The shortest possible time of a case: its formula, and the rates that the extension measures."""

import dataclasses
import json
import os

import pytest
from reports import FLAT, GIGA

from rnncore.bench import limits
from rnncore.bench.cases import Case


def test_read_rate_interpolates_in_the_logarithm_and_holds_at_the_ends():
    assert FLAT.read_rate(1, 1) == GIGA
    assert FLAT.read_rate(2048, 1) == 0.75 * GIGA
    assert FLAT.read_rate(1 << 30, 1) == GIGA / 2


def test_limit_of_many_rows_is_the_flops_at_the_peak():
    case = Case("lstm", 10, 100, 4, 4)
    assert limits.limit_seconds(case, FLAT) * GIGA == case.flops()
    train = dataclasses.replace(case, mode="train")
    assert limits.limit_seconds(train, FLAT) * GIGA == 3 * case.flops()
    two = dataclasses.replace(case, threads=2)
    assert limits.limit_seconds(two, FLAT) * 2 * GIGA == case.flops()


def test_limit_of_one_row_is_reading_the_weights():
    case = Case("rnn", 10, 1, 4, 16)
    weights = 16 * 16 * 4
    assert limits.limit_seconds(case, FLAT) * GIGA == 2 * 10 * 4 * 16 + 10 * weights


def test_limit_of_a_stream_reads_all_weights_from_where_all_of_them_fit():
    case = Case("rnn", 1, 1, 16, 16, L=2, mode="step")
    assert case.weight_bytes() == 4096
    assert limits.limit_seconds(case, FLAT) * GIGA / 2 == 4096


def test_limits_survive_json():
    full = dataclasses.replace(FLAT, flag_latency=1e-7, tail=(1e-6, 3e-6), drift={"1": 0.9})
    assert limits.Limits.from_json(json.loads(json.dumps(full.to_json()))) == full
    old = {key: value for key, value in FLAT.to_json().items() if key != "tail"}
    assert limits.Limits.from_json(old) == FLAT


def test_doubts_name_busy_cores_and_a_moving_clock():
    assert limits.doubts(FLAT, 2) == []
    busy = dataclasses.replace(FLAT, peaks={"flat/float32/1": GIGA, "flat/float32/2": GIGA})
    assert "2 threads" in limits.doubts(busy, 2)[0]
    assert limits.doubts(busy, 1) == []
    assert "ended" in limits.doubts(dataclasses.replace(FLAT, drift={"1": 0.5}), 2)[0]


@pytest.mark.skipif(limits.extension() is None, reason="the extension _limits is not built")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_limit_of_a_row_is_measured_beside_it(threads):
    case = Case("lstm", 10, 1, 64, 128, threads=threads)
    best = limits.extension().isas()[0]
    now = limits.measure_for(case, best, seconds=0.002)
    assert [size for size, _ in now.bandwidth[str(threads)]] == [4 * 128 * 64 * 4, 4 * 128 * 128 * 4, 393216]
    assert all(rate > 0 for rate in (*now.peaks.values(), *(rate for _, rate in now.bandwidth[str(threads)])))
    assert limits.limit_now(case, FLAT) == limits.limit_seconds(case, FLAT)
    assert 0 < limits.limit_now(case, dataclasses.replace(FLAT, isa=best)) != limits.limit_now(case, FLAT)


@pytest.mark.skipif(limits.extension() is None, reason="the extension _limits is not built")
def test_everything_is_measured_that_was_asked_for():
    measured = limits.measure((1,), seconds=0.002, sizes=(32768, 131072))
    assert measured.peaks and all(value > 0 for value in measured.peaks.values())
    assert [size for size, _ in measured.bandwidth["1"]] == [32768, 131072]
    assert all(rate > 0 for _, rate in measured.bandwidth["1"])
    core = limits.extension()
    with pytest.raises(ValueError, match="fma_peak"):
        core.fma_peak("z80")
    with pytest.raises(ValueError, match="read_bandwidth"):
        core.read_bandwidth(core.isas()[0], 0)
    with pytest.raises(ValueError, match="tail"):
        core.tail(0)
    median, p999 = measured.tail
    assert 0 < median <= p999
    if (os.cpu_count() or 1) > 1:
        assert core.flag_latency(0.002) > 0
