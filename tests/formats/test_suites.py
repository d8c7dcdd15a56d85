# SPDX-License-Identifier: MIT
"""Outside numbers (ONNX, ONNX Runtime, Keras, TensorFlow.js after training), through the importers, on twins and
compiled layers."""

import numpy as np
import pytest
import suites
import tables

from rnncore import errors


def parametrize(choose):
    """One test per (folder, case) that `choose` takes, or one skipped test where the suites are absent."""
    rows = [
        pytest.param(folder, case, id=f"{folder}-{case['name']}")
        for folder in suites.FOLDERS
        for case in suites.cases(folder)
        if choose(folder, case)
    ]
    if not (suites.SHARED / "suites").is_dir():
        reason = f"no suites in {suites.SHARED} (set RNNCORE_SHARED)"
        rows = [pytest.param("", {}, id="absent", marks=pytest.mark.skip(reason=reason))]
    return pytest.mark.parametrize("folder, case", rows)


def must_fail(case):
    return case.get("expect") == "fail"


@parametrize(lambda folder, case: not must_fail(case))
def test_case_agrees(implementation, folder, case):
    results = suites.run(implementation, folder, case)
    assert results, "a case must state something"
    for name, (got, expected) in results.items():
        np.testing.assert_allclose(
            got, expected, rtol=case.get("rtol", 0), atol=case["atol"], err_msg=f"{case['name']} {name}"
        )


@parametrize(lambda folder, case: must_fail(case))
def test_case_is_refused(implementation, folder, case):
    error, field = tables.REFUSED[case["name"]]
    with pytest.raises(getattr(errors, error)) as caught:
        suites.run(implementation, folder, case)
    assert caught.value.field == field
