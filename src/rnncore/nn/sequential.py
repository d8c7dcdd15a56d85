# SPDX-License-Identifier: MIT
"""A small inference graph: what stands around the recurrent layers in models people ship, and chains of it.

Embedding, Recurrent (a layer that may read backwards, merge directions, return its last step), Linear,
LayerNorm, Activation, Softmax, Sequential. All but Recurrent act on the last axis, so they take sequences,
single steps and batches alike. Thin NumPy; Embedding, Linear and Attention, which reads a second input and so
is no part of a chain, also have `forward` and `backward`. A new module is a class and a row in KINDS.
"""

import numpy as np

from .. import spec
from ..errors import ArgumentError, UnsupportedError
from ..layers.module import Module
from .attention import Attention
from .embedding import Embedding
from .linear import Linear
from .recurrent import MERGES, Recurrent, reverse_valid

__all__ = [
    "ACTIVATIONS",
    "KINDS",
    "MERGES",
    "Activation",
    "Attention",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "Recurrent",
    "Sequential",
    "SequentialStream",
    "Softmax",
    "build_module",
    "reverse_valid",
    "sigmoid",
    "softmax",
]


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
        self.features = spec.check_int("features", features, 1)
        if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps < np.inf:
            raise ArgumentError("eps", "a finite number >= 0", repr(eps))
        self.eps, self.dtype = float(eps), spec.check_dtype("dtype", dtype).name
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
        from ..formats import native

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
        if not isinstance(configs, list) or len(configs) > spec.MAX_LAYERS:
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
    arguments = KINDS[kind].arguments
    if set(fields) != set(arguments):
        raise ArgumentError(kind, "fields " + ", ".join(arguments), ", ".join(map(str, fields)))
    shapes = KINDS[kind].shapes(fields)
    if set(shapes) != set(parameters):
        raise ArgumentError(kind, "parameters " + ", ".join(shapes), ", ".join(parameters) or "none")
    dtype = (spec.check_dtype("dtype", fields["dtype"]),) if shapes else ()
    for name, shape in shapes.items():
        spec.check_shape(name, spec.as_array(name, parameters[name], dtype), shape)
    module = KINDS[kind](**fields)
    module.load_state_dict(parameters)
    return module


def _build_recurrent(fields, parameters, implementation):
    from ..formats.native import layer_spec
    from ..formats.records import build_layer

    if set(fields) != {"architecture", "order", "merge", "return_sequences"}:
        raise ArgumentError(
            "Recurrent", "architecture, order, merge, return_sequences", ", ".join(map(str, fields))
        )
    layer = build_layer(layer_spec(fields["architecture"], parameters), parameters, implementation)
    return Recurrent(layer, **{name: value for name, value in fields.items() if name != "architecture"})
