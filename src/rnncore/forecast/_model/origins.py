# SPDX-License-Identifier: MIT
"""Where the test of a model may begin: after what it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import ArgumentError
from .windows import Shape


@dataclass(frozen=True)
class Fitted:
    """How many values of each line a model was trained on, the last ones of them, and the shape of its windows."""

    counts: np.ndarray
    trained: list[np.ndarray]
    shape: Shape

    def test_origins(self, panel, starts, step):
        """Every `step`-th origin from `starts` (one for each line) on; the last is one horizon before the end.

        Raises
        ------
        ArgumentError
            The test part overlaps what was trained on, or is shorter than the horizon.
        """
        spans = []
        for k, (begin, end) in enumerate(zip(panel.starts, panel.ends, strict=True)):
            self._refuse_training_values(panel.values[begin:end], k, starts[k])
            first = begin + max(starts[k], self.shape.first)
            origins = np.arange(end - self.shape.horizon, first - 1, -step)
            if not len(origins):
                what = f"at least {self.shape.horizon} values after those of the fit"
                raise ArgumentError("series", what, max(end - begin - starts[k], 0))
            spans.append(origins[::-1])
        return np.concatenate(spans)

    def _refuse_training_values(self, values, number, start):
        count, last = self.counts[number], self.trained[number]
        if start < count and np.array_equal(values[count - len(last) : count], last):
            what = f"at least {count}, where the fitted series ends"
            raise ArgumentError("start", what, start, "testing on training values would flatter the model")
