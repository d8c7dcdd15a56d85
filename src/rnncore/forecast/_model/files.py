# SPDX-License-Identifier: MIT
"""A forecaster in a file: everything a forecast needs, the end of the series included."""

from __future__ import annotations

from os import PathLike
from typing import Any, Self

import numpy as np

from ...errors import ArgumentError, FormatError
from . import calendars
from .linear import LinearPath
from .modelfile import expect, prefixed, read_file, strip, write_file
from .network import QUANTILES, Member
from .panel import Line
from .views import VIEWS, Lens
from .windows import Shape

MODEL_FORMAT = "rnncore-forecaster-2"
LARGEST_SIZE = 2**24
"""No count in a header may exceed this: a wrong header must not decide how much memory is taken."""


class ForecasterFile:
    """The part of `Forecaster` that writes and reads files."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a safetensors file (atomically).

        Parameters
        ----------
        path : path

        Raises
        ------
        ArgumentError
            Not fitted. OSError where the file cannot be written.
        """
        tensors, meta = self.state()
        write_file(path, tensors, meta | {"format": MODEL_FORMAT})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a model that `save` wrote.

        Raises
        ------
        FormatError
            Not such a file, or a damaged one. OSError where it cannot be read.
        """
        return cls.of_state(path, *read_file(path, MODEL_FORMAT))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What `save` writes: (arrays by name, JSON of the rest)."""
        self._require_fit()
        tensors = {"scores": self.scores_, "counts": self.counts_}
        for name, lens in (("lens", self.lens_), ("linear_lens", self.linear_lens_)):
            tensors[name] = np.stack([lens.centre, lens.unit, lens.spread])
        tensors |= prefixed("scales.", self.scales_) | prefixed("linear.", _path_state(self.linear_))
        for number, values in enumerate(self.trained_):
            tensors[f"trained.{number}"] = values
        for number, line in enumerate(self.history_):
            tensors |= prefixed(f"history.{number}.", vars(line))
        for number, member in enumerate(self.members_):
            own = prefixed("linear.", _path_state(member.path)) | {"spread": member.spread}
            own |= prefixed("layer.", member.layer.state_dict()) | prefixed("head.", member.head.state_dict())
            tensors |= prefixed(f"{number}.", own)
        shape = self.shape_
        meta = {
            "params": self.get_params(),
            "views": [[lens.view, lens.level_input] for lens in (self.lens_, self.linear_lens_)],
            "shape": [shape.context, shape.horizon, list(shape.lags), shape.level_rows],
            "future": [None if index is None else [str(index[0]), str(index.tz)] for index in self.future_],
            "anchors": [member.anchor for member in self.members_],
            "hidden_size": self.members_[0].head.in_features,
        }
        meta |= {
            name: getattr(self, f"{name}_")
            for name in ("parts", "freq", "seasons", "single", "nonnegative", "share")
        }
        return tensors, meta

    @classmethod
    def of_state(
        cls, path: str | PathLike[str], tensors: dict[str, np.ndarray], meta: dict[str, Any]
    ) -> Self:
        """The model of a state; FormatError with the name of the file for a damaged one."""
        try:
            return _restored(cls, tensors, meta)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise FormatError(str(path), "a complete forecaster model", reason) from error


def _path_state(path):
    return {"weight": path.weight, "bias": path.bias}


def _restored(cls, tensors, meta):
    params = {
        name: tuple(value) if isinstance(value, list) else value for name, value in meta["params"].items()
    }
    model = cls(**params)
    context, horizon, lags, level_rows = meta["shape"]
    sizes = [context, horizon, level_rows, len(meta["anchors"]), meta["hidden_size"], *lags]
    if not all(type(size) is int and 0 < size < LARGEST_SIZE for size in sizes):
        raise ArgumentError("shape", "sizes", sizes)
    model.parts_, model.seasons_ = tuple(meta["parts"]), tuple(meta["seasons"])
    model.freq_, model.single_, model.nonnegative_ = (
        meta["freq"],
        bool(meta["single"]),
        bool(meta["nonnegative"]),
    )
    model.share_ = float(meta["share"])
    model.scales_ = strip(tensors, "scales.")
    model.scores_, model.counts_ = tensors["scores"], tensors["counts"]
    model.horizon, model.interrupted_ = horizon, False
    lines = len(model.counts_)
    for number, name in enumerate(("lens", "linear_lens")):
        expect(name, tensors[name], (3, lines))
        view, level = meta["views"][number]
        if view not in VIEWS:
            raise ArgumentError("views", ", ".join(VIEWS), view)
        setattr(model, f"{name}_", Lens(view, *tensors[name], bool(level)))
    if model.scores_.shape[::2] != (2, horizon):
        raise ArgumentError("scores", f"(2, n, {horizon})", model.scores_.shape)
    shape = Shape(context, horizon, tuple(lags), level_rows, calendars.tables(model.parts_))
    ahead = sum(t.shape[1] for t in shape.tables) + model.scales_["known"].shape[1] + len(lags)
    past = model.scales_["past"].shape[1]
    model.linear_ = _restored_path(strip(tensors, "linear."), horizon, context + 1 + past + ahead)
    model.history_ = [_restored_line(strip(tensors, f"history.{k}."), model, horizon) for k in range(lines)]
    model.trained_ = [tensors[f"trained.{k}"] for k in range(lines)]
    freq = None if model.freq_ is None else calendars.offset(model.freq_)
    model.future_ = [
        None if first is None else calendars.dates_from(*first, freq, horizon) for first in meta["future"]
    ]
    model.members_ = [
        _restored_member(strip(tensors, f"{k}."), model, anchor, meta["hidden_size"], shape, ahead, past)
        for k, anchor in enumerate(meta["anchors"])
    ]
    model.shape_ = shape
    return model


def _restored_path(own, horizon, inputs):
    expect("linear.weight", own["weight"], (horizon, inputs))
    expect("linear.bias", own["bias"], (horizon,))
    return LinearPath(own["weight"], own["bias"])


def _restored_line(own, model, horizon):
    values = own["values"]
    if values.ndim != 1 or not np.isfinite(values[0]):
        raise ArgumentError("history", "numbers", values.shape)
    expect("codes", own["codes"], (len(values) + horizon, len(model.parts_)))
    expect("past", own["past"], (len(values), model.scales_["past"].shape[1]))
    for number, table in enumerate(calendars.tables(model.parts_)):
        if not (own["codes"][:, number].min() >= 0 and own["codes"][:, number].max() < len(table)):
            raise ArgumentError("codes", f"0..{len(table) - 1}", "others")
    return Line(**own)


def _restored_member(own, model, anchor, hidden_size, shape, ahead, past):
    if anchor not in ("level", "linear"):
        raise ArgumentError("anchors", "level or linear", anchor)
    expect("head.weight", own["head.weight"], (len(QUANTILES), hidden_size))
    expect("spread", own["spread"], (shape.horizon,))
    path = _restored_path(strip(own, "linear."), shape.horizon, shape.context + 1 + past + ahead)
    width = ahead + 3 + past + 1
    member = Member.make(path, anchor, own["spread"], width, model.cell, hidden_size, 0)
    member.layer.load_state_dict(strip(own, "layer."))
    member.head.load_state_dict(strip(own, "head."))
    return member
