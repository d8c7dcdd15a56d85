# SPDX-License-Identifier: MIT
"""A small inference graph: what stands around the recurrent layers in models people ship, and chains of it.

Embedding, Recurrent (a layer that may read backwards, merge directions, return its last step), Linear,
LayerNorm, Activation, Softmax, Sequential. All but Recurrent act on the last axis, so they take sequences,
single steps and batches alike. Thin NumPy; Embedding, Linear and Attention, which reads a second input and so
is no part of a chain, also have `forward` and `backward`. A new module is a class and a row in KINDS.
"""

import contextlib
from dataclasses import dataclass, field

import numpy as np

from . import spec as checks
from .attention import Attention as Attention  # it belongs here, but is no part of a chain
from .errors import ArgumentError, DTypeError, ShapeError, TapeError, UnsupportedError
from .initializers import seed_streams
from .linear import Linear


def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow; dtype of `x`."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(e), e) / (1 + e)


def softmax(x):
    """Softmax over the last axis; dtype of `x`."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.logaddexp(x, np.zeros_like(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
}


class Module:
    """What the modules share: parameters by name, copies in and out, a description for files.

    `arguments` names the constructor's arguments that describe the module; each is an attribute.
    """

    arguments = ()

    def __init__(self, **parameters):
        self._parameters = parameters
        self._version = 0

    @property
    def kind(self):
        """The module's row in KINDS."""
        return type(self).__name__

    def __repr__(self):
        return f"{self.kind}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.arguments)})"

    def config(self):
        """What `build_module` needs beside the parameters, ready for JSON."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in self.arguments}

    def parameters(self):
        """Read-only views by name."""
        views = {name: array.view() for name, array in self._parameters.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    def state_dict(self):
        """Copies by name."""
        return {name: array.copy() for name, array in self._parameters.items()}

    def update_parameters(self, values):
        """Copy in some parameters; nothing changes if one is wrong.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
        """
        for name, value in values.items():
            if name not in self._parameters:
                raise ArgumentError(name, "one of " + ", ".join(self._parameters), "an unknown name")
            own = self._parameters[name]
            checks.check_shape(name, checks.as_array(name, value, (own.dtype,)), own.shape)
        for name, value in values.items():
            self._parameters[name][...] = value
        self._version += 1

    def load_state_dict(self, values):
        """Copy in all parameters; see `update_parameters`."""
        for name in self._parameters:
            if name not in values:
                raise ArgumentError(name, "an array", "nothing", "missing")
        self.update_parameters(values)

    def _features(self, x, size, name="x"):
        """`x` with `size` features in its last axis and the parameters' dtype."""
        (own, *_) = self._parameters.values()
        x = checks.as_array(name, x, (own.dtype,))
        if x.ndim < 1 or x.shape[-1] != size:
            raise ShapeError(name, f"shape (..., {size})", str(x.shape))
        return x


@dataclass(frozen=True)
class EmbeddingGrads:
    """Gradients of `Embedding` by parameter name; numbers have none."""

    params: dict[str, np.ndarray]


@dataclass
class EmbeddingTape:
    """What `Embedding.backward` needs: the numbers, the module, the age of its rows, whether it was used."""

    owner: object
    version: int
    ids: np.ndarray
    used: bool = field(default=False)


class Embedding(Module):
    """Rows of a table by number.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
    dtype : "float32" or "float64"
    seed : int, optional
        For the initial rows, standard normal (PyTorch's).

    Raises
    ------
    ArgumentError, DTypeError
    """

    arguments = ("num_embeddings", "embedding_dim", "dtype")

    def __init__(self, num_embeddings, embedding_dim, dtype="float32", seed=None):
        self.num_embeddings = checks.check_int("num_embeddings", num_embeddings, 1)
        self.embedding_dim = checks.check_int("embedding_dim", embedding_dim, 1)
        self.dtype = checks.check_dtype("dtype", dtype).name
        shape = (self.num_embeddings, self.embedding_dim)
        super().__init__(weight=seed_streams(seed)[0].standard_normal(shape).astype(self.dtype))

    @staticmethod
    def shapes(config):
        """Shapes of the parameters that this description demands."""
        return {"weight": (config["num_embeddings"], config["embedding_dim"])}

    def __call__(self, ids):
        """ids: integers of any shape (...), 0..num_embeddings-1; gives (..., embedding_dim).

        Raises
        ------
        DTypeError, ArgumentError
        """
        ids = np.asarray(ids)
        if ids.dtype.kind not in "iu":
            raise DTypeError("ids", "an integer dtype", ids.dtype)
        if ids.size and (ids.min() < 0 or ids.max() >= self.num_embeddings):
            raise ArgumentError("ids", f"0..{self.num_embeddings - 1}", f"{ids.min()}..{ids.max()}")
        return self._parameters["weight"][ids]

    @contextlib.contextmanager
    def writing(self):
        """Context manager for optimisers: the table as an array that may be written; it counts as changed."""
        yield self._parameters
        self._version += 1

    def forward(self, ids):
        """Return ``(rows, tape)``; the tape keeps `ids` itself, which must not change before `backward`."""
        return self(ids), EmbeddingTape(self, self._version, np.asarray(ids))

    def backward(self, tape, dy):
        """Gradients of one forward call.

        Parameters
        ----------
        tape : EmbeddingTape
            Used up by this call.
        dy : array (..., embedding_dim), the table's dtype
            0 where a number only fills up a ragged batch.

        Returns
        -------
        EmbeddingGrads
            `params["weight"]`, dense: 0 in the rows that were not asked for.

        Raises
        ------
        TapeError, ShapeError, DTypeError

        Notes
        -----
        The numbers are sorted, then each row is one sum; O(ids * embedding_dim) and a table of zeros.
        """
        if not isinstance(tape, EmbeddingTape) or tape.owner is not self:
            raise TapeError("tape", "a tape of this module", "another one")
        if tape.used:
            raise TapeError("tape", "a fresh tape", "one that was used", "call forward again")
        if tape.version != self._version:
            raise TapeError("tape", "a tape of the current parameters", "an older one", "call forward again")
        dy = self._features(dy, self.embedding_dim, "dy")
        checks.check_shape("dy", dy, (*tape.ids.shape, self.embedding_dim))
        tape.used = True
        dweight = np.zeros((self.num_embeddings, self.embedding_dim), self.dtype)
        if tape.ids.size:
            flat = tape.ids.reshape(-1)
            order = np.argsort(flat, kind="stable")
            rows, starts = np.unique(flat[order], return_index=True)
            dweight[rows] = np.add.reduceat(dy.reshape(-1, self.embedding_dim)[order], starts, axis=0)
        return EmbeddingGrads({"weight": dweight})


class LayerNorm(Module):
    """Layer normalization over the last axis: (x - mean) / sqrt(var + eps) * weight + bias.

    Parameters
    ----------
    features : int
    eps : float
        At least 0.
    dtype : "float32" or "float64"

    Raises
    ------
    ArgumentError, DTypeError
    """

    arguments = ("features", "eps", "dtype")

    def __init__(self, features, eps=1e-5, dtype="float32"):
        self.features = checks.check_int("features", features, 1)
        if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps < np.inf:
            raise ArgumentError("eps", "a finite number >= 0", repr(eps))
        self.eps, self.dtype = float(eps), checks.check_dtype("dtype", dtype).name
        super().__init__(weight=np.ones(self.features, self.dtype), bias=np.zeros(self.features, self.dtype))

    @staticmethod
    def shapes(config):
        """Shapes of the parameters that this description demands."""
        return {"weight": (config["features"],), "bias": (config["features"],)}

    def __call__(self, x):
        """x (..., features) gives the same shape; ShapeError, DTypeError."""
        x = self._features(x, self.features)
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + x.dtype.type(self.eps))
        return centred / scale * self._parameters["weight"] + self._parameters["bias"]


class Activation(Module):
    """An elementwise function by name, one of ACTIVATIONS; ArgumentError for another name."""

    arguments = ("name",)

    def __init__(self, name):
        if name not in ACTIVATIONS:
            raise ArgumentError("name", "one of " + ", ".join(ACTIVATIONS), repr(name))
        self.name = name
        super().__init__()

    @staticmethod
    def shapes(config):
        """Shapes of the parameters that this description demands."""
        return {}

    def __call__(self, x):
        """x of any shape."""
        return ACTIVATIONS[self.name](np.asarray(x))


class Softmax(Module):
    """Softmax over the last axis."""

    def __init__(self):
        super().__init__()

    @staticmethod
    def shapes(config):
        """Shapes of the parameters that this description demands."""
        return {}

    def __call__(self, x):
        """x (..., features) gives the same shape."""
        return softmax(np.asarray(x))


MERGES = {
    "concat": lambda forward, reverse: np.concatenate([forward, reverse], axis=-1),
    "sum": lambda forward, reverse: forward + reverse,
    "mul": lambda forward, reverse: forward * reverse,
    "ave": lambda forward, reverse: (forward + reverse) / 2,
}
ORDERS = ("forward", "reverse", "backwards")


def reverse_valid(x, lengths=None, batch_first=False):
    """Turn round each row's valid steps and leave its padding in place.

    Parameters
    ----------
    x : (T, N, features), with batch_first (N, T, features), or unbatched (T, features)
    lengths : int64 (N,), optional
        Checked already; all T if left out.
    """
    axis = 1 if batch_first and x.ndim == 3 else 0
    if lengths is None:
        return np.flip(x, axis)
    T = x.shape[axis]
    t = np.arange(T)[:, np.newaxis]
    source = np.where(t < lengths, lengths - 1 - t, t)  # (T, N)
    if x.ndim == 2:
        return x[source[:, 0]]
    return np.take_along_axis(x, (source.T if axis else source)[:, :, np.newaxis], axis)


class Recurrent(Module):
    """A recurrent layer with the reading order and outputs that other frameworks give their layers.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
    order : {"forward", "reverse", "backwards"}
        "reverse" reads each row's valid steps from the end and leaves each output at its own step;
        "backwards" returns the outputs in the order of computation. Of one direction only.
    merge : {"concat", "sum", "mul", "ave", None}
        How two directions become one output; None gives the pair.
    return_sequences : bool
        Whether y has all steps, or only the last one computed in each direction.

    Raises
    ------
    ArgumentError
    """

    arguments = ("layer", "order", "merge", "return_sequences")

    def __init__(self, layer, *, order="forward", merge="concat", return_sequences=True):
        if order not in ORDERS or (order != "forward" and layer.spec.bidirectional):
            expected = "'forward'" if layer.spec.bidirectional else "one of " + ", ".join(ORDERS)
            raise ArgumentError("order", expected, repr(order))
        if merge is not None and merge not in MERGES:
            raise ArgumentError("merge", "None or one of " + ", ".join(MERGES), repr(merge))
        if not isinstance(return_sequences, bool):
            raise ArgumentError("return_sequences", "True or False", repr(return_sequences))
        self.layer, self.order, self.merge, self.return_sequences = layer, order, merge, return_sequences
        super().__init__()

    def config(self):
        from .weights.native import architecture

        return {
            "kind": self.kind,
            "architecture": architecture(self.layer.spec),
            "order": self.order,
            "merge": self.merge,
            "return_sequences": self.return_sequences,
        }

    def parameters(self):
        """The layer's."""
        return self.layer.parameters()

    def state_dict(self):
        """The layer's."""
        return self.layer.state_dict()

    def update_parameters(self, values):
        """The layer's."""
        self.layer.update_parameters(values)

    def load_state_dict(self, values):
        """The layer's."""
        self.layer.load_state_dict(values)

    @property
    def streams(self):
        """Whether steps alone give what the whole sequence gives."""
        return self.order == "forward" and self.return_sequences and not self.layer.spec.bidirectional

    def __call__(self, x, lengths=None):
        """x and lengths as the layer takes them.

        Returns
        -------
        y : in x's layout, or without the time axis if not return_sequences; with merge None a pair, else one
        array
        """
        return self.call(x, lengths=lengths)[0]

    def call(self, x, state=None, *, lengths=None):
        """As `__call__`, with the initial state, giving (y, state)."""
        s = self.layer.spec
        x, T, N, _ = checks.check_x(s, x)
        lengths = checks.check_lengths(lengths, T, N)
        if self.order != "forward":
            x = reverse_valid(x, lengths, s.batch_first)
        y, state = self.layer(x, state, lengths=lengths)
        if self.return_sequences:
            parts = np.split(y, s.directions, axis=-1)
            if self.order == "reverse":
                parts = [reverse_valid(part, lengths, s.batch_first) for part in parts]
        else:
            h = state[0] if s.cell == "lstm" else state
            parts = list(h[-s.directions :])
        if s.directions == 1:
            return parts[0], state
        return (tuple(parts) if self.merge is None else MERGES[self.merge](*parts)), state


class Sequential:
    """Modules one after the other; a list-like.

    Parameters
    ----------
    *modules : Module or recurrent layer
        A layer stands for Recurrent(layer). Lengths reach the recurrent ones; the others also compute at
        padding.

    Raises
    ------
    ArgumentError
    """

    def __init__(self, *modules):
        self._modules = [Recurrent(module) if hasattr(module, "stream") else module for module in modules]
        for k, module in enumerate(self._modules):
            if not (callable(module) and hasattr(module, "parameters")):
                raise ArgumentError(f"modules[{k}]", "a module or a recurrent layer", type(module).__name__)

    def __iter__(self):
        return iter(self._modules)

    def __len__(self):
        return len(self._modules)

    def __getitem__(self, k):
        return self._modules[k]

    def __repr__(self):
        return "Sequential(\n" + "".join(f"  {module!r},\n" for module in self) + ")"

    def __call__(self, x, lengths=None):
        """Run all modules.

        Parameters
        ----------
        x : what the first module takes
        lengths : ints (N,), optional
            Valid steps of each row.

        Returns
        -------
        numpy.ndarray
        """
        for module in self:
            x = module(x, lengths) if isinstance(module, Recurrent) else module(x)
        return x

    def stream(self, batch_size=1):
        """The chain as running sequences; UnsupportedError if a module needs the whole sequence."""
        return SequentialStream(self, batch_size)

    def save(self, path):
        """Write architecture and parameters to a safetensors file; `rnncore.load` reads it."""
        from .weights import native

        native.save_sequential(self, path)

    @classmethod
    def build(cls, configs, tensors, implementation=None):
        """A Sequential of descriptions and parameters; those of module k have the prefix ``k.``.

        Raises
        ------
        RnncoreError
            The descriptions are wrong or do not fit the arrays; checked before anything of their size is
            made.
        """
        if not isinstance(configs, list) or len(configs) > checks.MAX_LAYERS:
            raise ArgumentError("modules", "a list of descriptions", type(configs).__name__)
        groups = {}
        for name, array in tensors.items():
            k, _, rest = name.partition(".")
            groups.setdefault(k, {})[rest] = array
        if unknown := set(groups) - set(map(str, range(len(configs)))):
            raise ArgumentError("tensors", f"names 0. to {len(configs) - 1}.", repr(min(unknown)))
        return cls(*(build_module(c, groups.get(str(k), {}), implementation) for k, c in enumerate(configs)))


class SequentialStream:
    """A chain running step by step; see `Sequential.stream`."""

    def __init__(self, model, batch_size=1):
        self._calls = []
        self._streams = []
        for k, module in enumerate(model):
            if isinstance(module, Recurrent):
                if not module.streams:
                    raise UnsupportedError(
                        f"modules[{k}]", "a layer that reads forward", repr(module), "it needs the end"
                    )
                self._streams.append(module.layer.stream(batch_size))
                self._calls.append(self._streams[-1].step)
            else:
                self._calls.append(module)

    def step(self, x):
        """One step: x (N, I), or with batch_size 1 also (I,); for an Embedding (N,) or a number."""
        for call in self._calls:
            x = call(x)
        return x

    def reset(self):
        """Set all states to zero."""
        for stream in self._streams:
            stream.reset()

    @property
    def state(self):
        """Copies of the layers' states, a list; may be assigned."""
        return [stream.state for stream in self._streams]

    @state.setter
    def state(self, values):
        for stream, value in zip(self._streams, values, strict=True):
            stream.state = value


# Linear trains, too, and stands in training.py; here is how a file describes it.
LINEAR_ARGUMENTS = ("in_features", "out_features", "bias", "dtype")


def _linear_shapes(config):
    shapes = {"weight": (config["out_features"], config["in_features"])}
    return shapes | ({"bias": (config["out_features"],)} if config["bias"] else {})


def config_of(module):
    """What `build_module` needs beside a module's parameters, ready for JSON."""
    if not isinstance(module, Linear):
        return module.config()
    values = (module.in_features, module.out_features, "bias" in module.parameters(), module.dtype.name)
    return {"kind": "Linear"} | dict(zip(LINEAR_ARGUMENTS, values, strict=True))


KINDS = {kind.__name__: kind for kind in (Embedding, Linear, LayerNorm, Activation, Softmax, Recurrent)}


def build_module(config, parameters, implementation=None):
    """A module of its description and parameters, which may come from an untrusted file.

    Parameters
    ----------
    config : dict
        As `Module.config` gives it.
    parameters : dict of str to array
    implementation : module with RNN, LSTM, GRU, optional

    Raises
    ------
    RnncoreError
        Before anything of the described size is made.
    """
    kind = config.get("kind") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArgumentError("kind", "one of " + ", ".join(KINDS), str(kind)[:40])
    fields = {name: value for name, value in config.items() if name != "kind"}
    if kind == "Recurrent":
        return _build_recurrent(fields, parameters, implementation)
    arguments = LINEAR_ARGUMENTS if kind == "Linear" else KINDS[kind].arguments
    if set(fields) != set(arguments):
        raise ArgumentError(kind, "fields " + ", ".join(arguments), ", ".join(map(str, fields)))
    shapes = _linear_shapes(fields) if kind == "Linear" else KINDS[kind].shapes(fields)
    if set(shapes) != set(parameters):
        raise ArgumentError(kind, "parameters " + ", ".join(shapes), ", ".join(parameters) or "none")
    dtype = (checks.check_dtype("dtype", fields["dtype"]),) if shapes else ()
    for name, shape in shapes.items():
        checks.check_shape(name, checks.as_array(name, parameters[name], dtype), shape)
    module = KINDS[kind](**fields)
    module.load_state_dict(parameters)
    return module


def _build_recurrent(fields, parameters, implementation):
    from .weights.native import layer_spec
    from .weights.records import build_layer

    if set(fields) != {"architecture", "order", "merge", "return_sequences"}:
        raise ArgumentError(
            "Recurrent", "architecture, order, merge, return_sequences", ", ".join(map(str, fields))
        )
    layer = build_layer(layer_spec(fields["architecture"], parameters), parameters, implementation)
    return Recurrent(layer, **{name: value for name, value in fields.items() if name != "architecture"})
