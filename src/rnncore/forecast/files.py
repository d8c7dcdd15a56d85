# SPDX-License-Identifier: MIT
"""A forecaster in a file: everything a forecast needs, the end of the series included."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError, FormatError
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

    def save(self, path, notes=None):
        """Write the model to a safetensors file (atomically).

        Parameters
        ----------
        path : path
        notes : dict, optional
            JSON of the caller's own; `load` gives it back as `notes_`.

        Raises
        ------
        ArgumentError
            Not fitted. OSError where the file cannot be written.
        """
        self._require_fit()
        tensors = {"scores": self.scores_, "counts": self.counts_}
        for name, lens in (("lens", self.lens_), ("linear_lens", self.linear_lens_)):
            tensors[name] = np.stack([lens.centre, lens.unit, lens.spread])
        for name, scale in self.scales_.items():
            tensors[f"scales.{name}"] = scale
        tensors |= prefixed("linear.", _path_state(self.linear_))
        for number, values in enumerate(self.trained_):
            tensors[f"trained.{number}"] = values
        for number, line in enumerate(self.history_):
            tensors |= prefixed(f"history.{number}.", vars(line))
        for number, member in enumerate(self.members_):
            own = prefixed("linear.", _path_state(member.path)) | {"spread": member.spread}
            own |= prefixed("layer.", member.layer.state_dict()) | prefixed("head.", member.head.state_dict())
            tensors |= prefixed(f"{number}.", own)
        future = [None if index is None else [str(index[0]), str(index.tz)] for index in self.future_]
        meta = {
            "format": MODEL_FORMAT,
            "params": self.get_params(),
            "views": [[lens.view, lens.level_input] for lens in (self.lens_, self.linear_lens_)],
            "shape": [self.shape_.context, self.shape_.horizon, list(self.shape_.lags), self.shape_.level_rows],
            "future": future,
            "members": len(self.members_),
            "hidden_size": self.members_[0].layer.hidden_size,
            "notes": notes,
        }
        meta |= {
            name: getattr(self, f"{name}_") for name in ("parts", "freq", "seasons", "single", "nonnegative", "share")
        }
        write_file(path, tensors, meta)

    @classmethod
    def load(cls, path):
        """Read a model that `save` wrote.

        Raises
        ------
        FormatError
            Not such a file, or a damaged one. OSError where it cannot be read.
        """
        tensors, meta = read_file(path, MODEL_FORMAT)
        try:
            return _restored(cls, tensors, meta)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise FormatError(str(path), "a complete forecaster model", reason) from error


def _path_state(path):
    return {"weight": path.weight, "bias": path.bias}


def _restored(cls, tensors, meta):
    model = cls(**meta["params"])
    context, horizon, lags, level_rows = meta["shape"]
    sizes = [context, horizon, level_rows, meta["members"], meta["hidden_size"], *lags]
    if not all(type(size) is int and 0 < size < LARGEST_SIZE for size in sizes):
        raise ArgumentError("shape", "sizes", sizes)
    model.parts_, model.seasons_ = tuple(meta["parts"]), tuple(meta["seasons"])
    model.freq_, model.single_, model.nonnegative_ = meta["freq"], bool(meta["single"]), bool(meta["nonnegative"])
    model.share_, model.notes_ = float(meta["share"]), meta["notes"]
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
    model.future_ = [None if first is None else calendars.dates_from(*first, freq, horizon) for first in meta["future"]]
    model.members_ = [
        _restored_member(strip(tensors, f"{k}."), model, horizon, meta["hidden_size"], context, ahead, past)
        for k in range(meta["members"])
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
        if not (0 <= own["codes"][:, number].min() and own["codes"][:, number].max() < len(table)):
            raise ArgumentError("codes", f"0..{len(table) - 1}", "others")
    return Line(**own)


def _restored_member(own, model, horizon, hidden_size, context, ahead, past):
    expect("head.weight", own["head.weight"], (len(QUANTILES), hidden_size))
    expect("spread", own["spread"], (horizon,))
    path = _restored_path(strip(own, "linear."), horizon, context + 1 + past + ahead)
    member = Member.make(path, own["spread"], ahead + 3 + past + 1, model.cell, hidden_size, 0)
    member.layer.load_state_dict(strip(own, "layer."))
    member.head.load_state_dict(strip(own, "head."))
    return member
