# SPDX-License-Identifier: MIT
"""What a layer is (`Spec`), and the checks of everything a caller hands to one.

The NumPy twin and the compiled layers share this file, so both refuse the same input with the same words.
Nothing here computes; nothing here imports more than NumPy.

Dimensions: T steps, N batch, I input size, H hidden size, P projection size, G gates, L layers, D directions.
"""

import dataclasses
import functools
import math

import numpy as np

from . import activations
from .errors import (
    ArgumentError,
    DTypeError,
    LengthsError,
    OverlapError,
    ShapeError,
    SizeError,
    UnsupportedError,
)
from .overlap import folds, overlaps

# Gate order of every stacked matrix: block k of weight_ih, weight_hh, bias_ih, bias_hh belongs to gate k.
GATES = {"rnn": ("h",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
NONLINEARITIES = ("tanh", "relu")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
INT64_MAX = 2**63 - 1

# Far above any use; keeps a mistyped count from listing parameters until memory ends.
MAX_LAYERS = 2**16


def gate_names(cell, coupled=False):
    """The gates of a cell in the order of their row blocks."""
    return tuple(gate for gate in GATES[cell] if not (coupled and gate == "f"))


@dataclasses.dataclass(frozen=True)
class Spec:
    """Architecture of a layer; validated on construction, immutable, hashable.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru"}
    input_size, hidden_size, num_layers : int
        I, H, L; each at least 1.
    nonlinearity : {"tanh", "relu"}
        Of the basic RNN; "tanh" for the other cells.
    bias, batch_first, bidirectional : bool
    dropout : float
        Probability of dropping an output of a layer before the next layer reads it; 0 <= p < 1.
    dtype : {"float32", "float64"} or numpy.dtype
    proj_size : int
        P of an LSTM with projection, 0 <= P < H; 0 means none.
    reset_after : bool
        Of the GRU: multiply by the reset gate after (True) or before the recurrent product.
    peepholes, coupled : bool
        Of the LSTM: gates i, f, o see the cell state; f = 1 - i and there is no gate f.
    clip : float, optional
        Bound of the gates' pre-activations.
    zoneout, zoneout_c : float
        Probability of a unit of h, and of an LSTM's c, of keeping its value of the step before; 0 <= p < 1.
    activations : tuple
        As `activations.normalize` gives it; anything that it takes.

    Raises
    ------
    ArgumentError, DTypeError
        A value of the wrong type or outside its range.
    SizeError
        The parameters' bytes do not fit a signed 64-bit integer.
    """

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int = 1
    nonlinearity: str = "tanh"
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    dtype: np.dtype = DTYPES[0]
    proj_size: int = 0
    reset_after: bool = True
    peepholes: bool = False
    coupled: bool = False
    clip: float | None = None
    activations: tuple = ()
    zoneout: float = 0.0
    zoneout_c: float = 0.0

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        _check_choice("cell", self.cell, tuple(GATES))
        for name in ("input_size", "hidden_size", "num_layers"):
            put(name, check_int(name, getattr(self, name), 1))
        if self.num_layers > MAX_LAYERS:
            raise ArgumentError("num_layers", f"at most {MAX_LAYERS}", self.num_layers)
        _check_choice("nonlinearity", self.nonlinearity, NONLINEARITIES)
        for name in ("bias", "batch_first", "bidirectional", "reset_after", "peepholes", "coupled"):
            put(name, _check_bool(name, getattr(self, name)))
        for name in ("dropout", "zoneout", "zoneout_c"):
            put(name, _check_probability(name, getattr(self, name)))
        put("dtype", check_dtype("dtype", self.dtype))
        put("proj_size", check_int("proj_size", self.proj_size, 0))
        if self.proj_size >= self.hidden_size:
            raise ArgumentError("proj_size", f"less than hidden_size = {self.hidden_size}", self.proj_size)
        for name, neutral, cell in (
            ("proj_size", 0, "lstm"),
            ("nonlinearity", "tanh", "rnn"),
            ("reset_after", True, "gru"),
            ("peepholes", False, "lstm"),
            ("coupled", False, "lstm"),
            ("zoneout_c", 0.0, "lstm"),
        ):
            if self.cell != cell and getattr(self, name) != neutral:
                raise ArgumentError(name, f"{neutral!r} for cell {self.cell!r}", repr(getattr(self, name)))
        if self.clip is not None:
            put("clip", _check_positive("clip", self.clip))
        put("activations", activations.normalize(self.activations, self.cell, self.coupled, self.directions))
        if self.cell == "rnn" and self.activations:
            if self.nonlinearity != "tanh":
                raise ArgumentError("nonlinearity", "'tanh' beside activations", repr(self.nonlinearity))
            if self.activations == ((("relu",),),):  # which has a name and a kernel of its own
                put("nonlinearity", "relu")
                put("activations", ())
        self._check_sizes()

    def _check_sizes(self):
        # Layers above the second repeat its shapes: count them, do not list them.
        widths = (self.input_size, self.directions * self.output_size)
        per_layer = [self.directions * sum(map(math.prod, self._layer_shapes(w).values())) for w in widths]
        elements = per_layer[0] + (self.num_layers - 1) * per_layer[1]
        if elements * self.dtype.itemsize > INT64_MAX:
            sizes = f"({self.input_size}, {self.hidden_size}, {self.num_layers})"
            limit = "(input_size, hidden_size, num_layers) whose parameters fit 2**63 - 1 bytes"
            raise SizeError("hidden_size", limit, sizes)

    def _layer_shapes(self, width):
        """Shapes of one layer and direction whose input has `width` features, in PyTorch's order."""
        rows = self.gates * self.hidden_size
        shapes = {"weight_ih": (rows, width), "weight_hh": (rows, self.output_size)}
        if self.bias:
            shapes.update(bias_ih=(rows,), bias_hh=(rows,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        if self.peepholes:
            shapes["weight_peephole"] = ((self.gates - 1) * self.hidden_size,)
        return shapes

    @functools.cached_property
    def gate_names(self):
        """The gates in the order of their row blocks; coupled ones leave no f."""
        return gate_names(self.cell, self.coupled)

    @functools.cached_property
    def gates(self):
        """G: number of gates."""
        return len(self.gate_names)

    @functools.cached_property
    def general(self):
        """Whether the cell has options that its usual equations do not have."""
        return bool(self.peepholes or self.coupled or self.clip is not None or self.activations)

    def functions(self, direction):
        """The activations of a direction: place -> (name, *parameters)."""
        own = activations.places(self.cell, self.coupled)
        if not self.activations:
            return {place: (self.nonlinearity if place == "h" else name,) for place, name in own.items()}
        return dict(zip(own, self.activations[min(direction, len(self.activations) - 1)], strict=True))

    @functools.cached_property
    def directions(self):
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @functools.cached_property
    def output_size(self):
        """Features of h in one direction: P with projection, else H."""
        return self.proj_size or self.hidden_size

    @functools.cached_property
    def y_size(self):
        """Features of y: D times `output_size`."""
        return self.directions * self.output_size

    @functools.cached_property
    def drops(self):
        """Whether training calls draw masks; dropout has none where there is no output between layers."""
        return bool(self.dropout > 0 and self.num_layers > 1) or self.zoneout > 0 or self.zoneout_c > 0

    @functools.cached_property
    def token_bytes(self):
        """Upper bound of the bytes that one token (one step of one row) needs in any one buffer."""
        per_layer = self.directions * (self.gates + 2) * self.hidden_size
        return self.dtype.itemsize * max(self.input_size, self.num_layers * per_layer)

    def layer_input_size(self, layer):
        """Features that layer `layer` reads."""
        return self.input_size if layer == 0 else self.y_size

    def suffixes(self):
        """Name suffixes in order: ``_l0``, ``_l0_reverse``, ``_l1`` ...; position is the row of the state."""
        ends = ("", "_reverse")[: self.directions]
        return [f"_l{layer}{end}" for layer in range(self.num_layers) for end in ends]

    def parameter_shapes(self):
        """Names and shapes of all parameters.

        Returns
        -------
        dict of str to tuple of int
            In PyTorch's order: per layer and direction weight_ih (G*H, in), weight_hh (G*H, H or P),
            bias_ih (G*H,), bias_hh (G*H,), weight_hr (P, H), weight_peephole (3*H,) of gates i f o, or
            coupled (2*H,) of i o.
        """
        return {
            name + suffix: shape
            for k, suffix in enumerate(self.suffixes())
            for name, shape in self._layer_shapes(self.layer_input_size(k // self.directions)).items()
        }

    def state_shapes(self, N):
        """Shapes of the state of a batch of `N` rows.

        Returns
        -------
        tuple of tuple of int
            ``((L*D, N, H),)`` for RNN and GRU, ``((L*D, N, H or P), (L*D, N, H))`` for LSTM.
        """
        slots = self.num_layers * self.directions
        h = (slots, N, self.output_size)
        return (h, (slots, N, self.hidden_size)) if self.cell == "lstm" else (h,)

    def arguments(self):
        """The constructor call's arguments as text; what equals its default is left out."""
        shown = [str(self.input_size), str(self.hidden_size)]
        for field in dataclasses.fields(self)[3:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={str(value) if field.name == 'dtype' else value!r}")
        return ", ".join(shown)


# Scalars ---------------------------------------------------------------------------------------------------


def check_int(field, value, minimum):
    """An int or NumPy integer >= `minimum`, as int; ArgumentError for bool, float, NaN and the rest."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ArgumentError(field, f"an integer >= {minimum}", f"{value!r} of type {type(value).__name__}")
    if value < minimum:
        raise ArgumentError(field, f"an integer >= {minimum}", value)
    if value > INT64_MAX:
        raise SizeError(field, "an integer that fits 63 bits", value)
    return int(value)


def _check_bool(field, value):
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(field, "True or False", repr(value))
    return bool(value)


def _check_choice(field, value, choices):
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(field, "one of " + ", ".join(map(repr, choices)), repr(value))


def _check_probability(field, value):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ArgumentError(field, "a number p, 0 <= p < 1", repr(value))
    if not 0 <= value < 1:  # NaN fails here
        raise ArgumentError(field, "a number p, 0 <= p < 1", value)
    return float(value)


def _check_positive(field, value):
    number = activations.finite(value)
    if number is None or number <= 0:
        raise ArgumentError(field, "None or a finite number > 0", repr(value)[:80])
    return number


def check_dtype(field, value):
    """The numpy.dtype float32 or float64 named by `value`; DTypeError for any other."""
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError):
        dtype = None
    # np.dtype(None) is float64, and a dtype even equals None: neither may pass for a choice.
    if value is None or dtype is None or dtype not in DTYPES:
        raise DTypeError(field, "float32 or float64", repr(value))
    return dtype


def check_checkpoint(value, T):
    """How many segments of steps a tape's gates are computed again in; 0: none, they are recorded."""
    if value is None:
        return 0
    if isinstance(value, str) and value == "gates":
        return max(1, math.isqrt(T))
    segments = check_int("checkpoint", value, 1)
    if segments > max(1, T):
        raise ArgumentError("checkpoint", f"None, 'gates' or an int in 1..T = {T}", repr(value))
    return segments


def check_num_threads(value):
    """None or an int >= 1; ArgumentError otherwise."""
    return None if value is None else check_int("num_threads", value, 1)


# Arrays ----------------------------------------------------------------------------------------------------


def as_array(field, value, dtypes):
    """`value` as an array of one of `dtypes`, without casting.

    Raises
    ------
    DTypeError
        Another element type (byte order counts).
    ShapeError
        A nested list whose rows differ in length.
    UnsupportedError
        A masked array, whose mask would be lost.
    """
    if type(value) is not np.ndarray:
        if isinstance(value, np.ma.MaskedArray):
            raise UnsupportedError(field, "an array without mask", "a masked array", "use lengths")
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ShapeError(field, "a rectangular array", "rows of unequal length") from error
    if value.dtype not in dtypes:
        hint = "use astype" if value.dtype.kind in "biufc" else ""
        raise DTypeError(field, "dtype " + " or ".join(map(str, dtypes)), value.dtype, hint)
    return value


def _shape_text(dims):
    return "(" + ", ".join(map(str, dims)) + ("," if len(dims) == 1 else "") + ")"


def _transposed(expected, got):
    return "transposed?" if len(got) > 1 and got == expected[::-1] else ""


def check_shape(field, array, shape):
    """ShapeError unless `array` has exactly this shape."""
    if array.shape != shape:
        got = array.shape
        raise ShapeError(field, f"shape {_shape_text(shape)}", _shape_text(got), _transposed(shape, got))


def check_x(spec, x):
    """Check the input of a call.

    Parameters
    ----------
    spec : Spec
    x : array_like of spec.dtype
        (T, N, I), with batch_first (N, T, I), or unbatched (T, I).  T and N may be 0.

    Returns
    -------
    x : numpy.ndarray
        As given; not copied, any strides.
    T, N : int
    batched : bool
        False if `x` is 2-D; N is 1 then.

    Raises
    ------
    ShapeError, DTypeError, SizeError, UnsupportedError
    """
    x = as_array("x", x, (spec.dtype,))
    shape = x.shape
    batched = len(shape) == 3
    if not (batched or len(shape) == 2) or shape[-1] != spec.input_size:
        layout = "(N, T, {0})" if spec.batch_first else "(T, N, {0})"
        hint = "transposed?" if spec.input_size in shape else ""
        expected = f"shape {layout} or (T, {{0}})".format(spec.input_size)
        raise ShapeError("x", expected, _shape_text(shape), hint)
    if not batched:
        T, N = shape[0], 1
    elif spec.batch_first:
        N, T = shape[0], shape[1]
    else:
        T, N = shape[0], shape[1]
    if T * N * spec.token_bytes > INT64_MAX:
        raise SizeError("x", "a shape whose buffers fit 2**63 - 1 bytes", _shape_text(shape))
    return x, T, N, batched


def check_state(spec, state, N, batched, field="state", dtypes=None, partial=False):
    """Check an initial state or a gradient of the final state.

    Parameters
    ----------
    spec : Spec
    state : None, array h, or for LSTM a pair (h, c)
        h (L*D, N, H or P) and c (L*D, N, H); without the N axis if not `batched`.
    N : int
    batched : bool
    field : str
        Name for messages; "state" or "dstate".
    dtypes : tuple of numpy.dtype, optional
        Accepted element types; default `spec.dtype` alone.
    partial : bool
        Whether parts of a pair may be None (gradients: zero).

    Returns
    -------
    tuple
        One entry per part, (h,) or (h, c): a 3-D array or view of the caller's memory, or None.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, UnsupportedError
    """
    shapes = spec.state_shapes(N)
    if state is None:
        return (None,) * len(shapes)
    if len(shapes) == 1:
        if isinstance(state, tuple):
            raise ArgumentError(field, "one array h", f"a tuple of {len(state)}")
        state, names = (state,), (field,)
    else:
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            size = f" of {len(state)}" if isinstance(state, (tuple, list)) else ""
            raise ArgumentError(field, "a pair (h, c)", type(state).__name__ + size)
        names = (f"{field}[0]", f"{field}[1]")
    dtypes = dtypes or (spec.dtype,)
    parts = []
    for name, part, shape in zip(names, state, shapes, strict=True):
        if part is None and partial:
            parts.append(None)
            continue
        part = as_array(name, part, dtypes)
        check_shape(name, part, shape if batched else (shape[0], shape[2]))
        parts.append(part if batched else part[:, np.newaxis])
    return tuple(parts)


def check_lengths(lengths, T, N):
    """Check the lengths of a ragged batch.

    Parameters
    ----------
    lengths : None or array_like of int, (N,)
        Valid steps of each row, 0..T; any integer dtype, not bool.
    T, N : int

    Returns
    -------
    None or numpy.ndarray of int64, (N,), contiguous

    Raises
    ------
    DTypeError, ShapeError, LengthsError
    """
    if lengths is None:
        return None
    try:
        array = np.asarray(lengths)
    except ValueError as error:
        raise ShapeError("lengths", f"shape ({N},)", "rows of unequal length") from error
    if array.dtype.kind not in "iu":
        raise DTypeError("lengths", "an integer dtype", array.dtype)
    check_shape("lengths", array, (N,))
    values = np.array(array, dtype=np.int64, order="C")  # a copy: nobody may change it during the call
    # Read as unsigned, a negative length is a huge one: one reduction checks both ends.
    if N and values.view(np.uint64).max() > T:
        row = int(np.argmax(values.view(np.uint64) > T))
        raise LengthsError("lengths", f"values 0..{T}", f"{array[row]} at row {row}")
    return values


def y_shape(spec, T, N, batched):
    """Shape of y as the caller sees it."""
    if not batched:
        return (T, spec.y_size)
    return (N, T, spec.y_size) if spec.batch_first else (T, N, spec.y_size)


def check_dy(spec, dy, T, N, batched, dtypes=None):
    """The gradient of y, or None: y's shape and dtype; ShapeError, DTypeError, UnsupportedError."""
    if dy is None:
        return None
    dy = as_array("dy", dy, dtypes or (spec.dtype,))
    check_shape("dy", dy, y_shape(spec, T, N, batched))
    return dy


def check_out(out, shape, dtype, inputs):
    """Check an array that receives results.

    Parameters
    ----------
    out : numpy.ndarray
        Writeable, exactly `shape` and `dtype`, any strides.
    shape : tuple of int
    dtype : numpy.dtype
    inputs : iterable of (numpy.ndarray or None)
        What is read while `out` is written.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
    OverlapError
        `out` shares an element with an input, or two of its own elements may be one.
    """
    if not isinstance(out, np.ndarray):
        raise ArgumentError("out", "a numpy.ndarray", type(out).__name__)
    as_array("out", out, (dtype,))
    check_shape("out", out, shape)
    if not out.flags.writeable:
        raise ArgumentError("out", "a writeable array", "a read-only one")
    if not out.flags.forc and folds(out):
        raise OverlapError("out", "elements apart in memory", f"strides {out.strides}")
    for array in inputs:
        if array is not None and overlaps(out, array):
            raise OverlapError("out", "memory apart from the inputs", "shared memory")
    return out


def check_batch_size(spec, chunk, N, batch_size):
    """ShapeError unless a checked chunk has the N rows of its stream."""
    if batch_size != N:
        layout = "({1}, T, {0})" if spec.batch_first else "(T, {1}, {0})"
        raise ShapeError("x", "shape " + layout.format(spec.input_size, batch_size), _shape_text(chunk.shape))


def check_rows(rows, N):
    """Rows of a stream of `N` rows as int64 (n,), n >= 1: each of 0..N-1 at most once, -1 any number of times.

    Raises
    ------
    DTypeError, ShapeError, ArgumentError
    """
    array = np.asarray(rows)
    if array.dtype.kind not in "iu":
        raise DTypeError("rows", "an integer dtype", array.dtype)
    if array.ndim != 1 or not len(array):
        raise ShapeError("rows", "shape (n,) with n >= 1", _shape_text(array.shape))
    kept = array[array != -1]
    if np.any((kept < 0) | (kept >= N)):
        raise ArgumentError("rows", f"-1 or 0..{N - 1}", array.tolist())
    if len(np.unique(kept)) != len(kept):
        raise ArgumentError("rows", "each row at most once", array.tolist())
    return np.ascontiguousarray(array, dtype=np.int64)


def check_step(spec, x, N):
    """Check one sample per stream.

    Parameters
    ----------
    x : array_like of spec.dtype, (N, I), with N = 1 also (I,)

    Returns
    -------
    x : numpy.ndarray
    batched : bool
    """
    x = as_array("x", x, (spec.dtype,))
    shape = x.shape
    if shape == (N, spec.input_size):
        return x, True
    if N == 1 and shape == (spec.input_size,):
        return x, False
    expected = f"shape ({N}, {spec.input_size})" + (f" or ({spec.input_size},)" if N == 1 else "")
    raise ShapeError("x", expected, _shape_text(shape))


def check_parameters(spec, values, partial=False):
    """Check named parameters against the layer's; all are checked before any may be used.

    Parameters
    ----------
    spec : Spec
    values : mapping of str to array_like of spec.dtype
    partial : bool
        Whether names may be missing.

    Returns
    -------
    dict of str to numpy.ndarray
        In the layer's order.

    Raises
    ------
    ArgumentError
        Not a mapping; a name unknown or missing (`.field` is that name).
    ShapeError, DTypeError, UnsupportedError
    """
    if not hasattr(values, "keys"):
        raise ArgumentError("parameters", "a mapping of names to arrays", type(values).__name__)
    shapes = spec.parameter_shapes()
    for name in values:
        if name not in shapes:
            raise ArgumentError(str(name), "one of " + ", ".join(shapes), "an unknown name")
    checked = {}
    for name, shape in shapes.items():
        if name in values:
            checked[name] = as_array(name, values[name], (spec.dtype,))
            check_shape(name, checked[name], shape)
        elif not partial:
            raise ArgumentError(name, f"shape {_shape_text(shape)}", "nothing", "missing")
    return checked
