# SPDX-License-Identifier: MIT
"""Sound calls of layers, modules, losses, optimisers and of the engine, of which a sweep spoils one argument each."""

import dataclasses
import inspect

import numpy as np

import rnncore
from rnncore import engine, nn, reference


@dataclasses.dataclass(frozen=True)
class Sound:
    """A call that works.

    Attributes
    ----------
    name : str
        Of the function, as `public_functions` lists it.
    make : callable
        Gives the function, bound to a fresh object, and the arguments that it needs, by name.
    spared : tuple of str
        Arguments that are left alone.
    refused : bool
        Whether the call is one that is refused anyway, for want of a file or a module.
    """

    name: str
    make: object
    spared: tuple = ()
    refused: bool = False

    def arguments(self):
        """Names of all that it takes but `*args` and `**options`."""
        function, _ = self.make()
        known = inspect.signature(function).parameters.values()
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return [p.name for p in known if p.kind in kinds and p.name not in self.spared]


def f4(*shape):
    """An array of ones."""
    return np.ones(shape, np.float32)


X, IDS = f4(5, 2, 3), np.array([[1, 2], [0, 3]])
SIZES = {"input_size": 3, "hidden_size": 4}


def layer(name="LSTM", home=rnncore, **options):
    return getattr(home, name)(3, 4, seed=0, **options)


def tape_of(module, *inputs):
    """(module, tape, dy) of a training call."""
    y, *_, tape = module.forward(*inputs)
    return module, tape, np.ones_like(y)


def of_backward(make, *inputs):
    def sound():
        module, tape, dy = tape_of(make(), *inputs)
        return module.backward, {"tape": tape, "dy": dy}

    return sound


def _layer_rows(name, home):
    """The calls of a layer, or of its twin."""
    prefix = f"{home.__name__}.{name}"

    def made():
        return layer(name, home)

    def stream():
        return made().stream(2)

    return [
        Sound(prefix, lambda: (getattr(home, name), SIZES)),
        Sound(f"{prefix}.__call__", lambda: (made(), {"x": X})),
        Sound(f"{prefix}.forward", lambda: (made().forward, {"x": X})),
        Sound(f"{prefix}.backward", of_backward(made, X)),
        Sound(f"{prefix}.load_state_dict", lambda: (made().load_state_dict, {"values": made().state_dict()})),
        Sound(
            f"{prefix}.update_parameters", lambda: (made().update_parameters, {"values": made().state_dict()})
        ),
        Sound(f"{prefix}.stream", lambda: (made().stream, {})),
        Sound(f"{prefix}.stream.step", lambda: (stream().step, {"x": X[0]})),
        Sound(f"{prefix}.stream.run", lambda: (stream().run, {"chunk": X})),
        Sound(
            f"{prefix}.stream.state",
            lambda: (lambda value: setattr(stream(), "state", value), {"value": None}),
        ),
    ]


def _module_rows(name, make, *inputs):
    """The calls of a module of rnncore.nn."""
    prefix = f"rnncore.nn.{name}"
    argument = {"Embedding": "ids", "Attention": "queries"}.get(name, "x")
    given = dict(zip((argument, "memory"), inputs, strict=False))
    rows = [
        Sound(f"{prefix}.__call__", lambda: (make(), given)),
        Sound(f"{prefix}.forward", lambda: (make().forward, given)),
        Sound(f"{prefix}.load_state_dict", lambda: (make().load_state_dict, {"values": make().state_dict()})),
        Sound(
            f"{prefix}.update_parameters", lambda: (make().update_parameters, {"values": make().state_dict()})
        ),
    ]
    if name == "Attention":

        def backward():
            module = make()
            context, _, tape = module.forward(*inputs)
            return module.backward, {"tape": tape, "dcontext": context}

        return [*rows, Sound(f"{prefix}.backward", backward)]
    return [*rows, Sound(f"{prefix}.backward", of_backward(make, *inputs))]


MODULES = {
    "Activation": (lambda: nn.Activation("elu"), X),
    "Attention": (nn.Attention, f4(3, 2, 3), X),
    "Dropout": (lambda: nn.Dropout(0.5, seed=0), X),
    "Embedding": (lambda: nn.Embedding(5, 3, seed=0), IDS),
    "FleetLinear": (lambda: nn.FleetLinear(3, 2, models=5, seed=0), X),
    "LayerNorm": (lambda: nn.LayerNorm(3), X),
    "Linear": (lambda: nn.Linear(3, 2, seed=0), X),
    "Recurrent": (lambda: nn.Recurrent(layer("GRU", bidirectional=True), merge="mul"), X),
    "Sequential": (lambda: nn.Sequential(layer("GRU"), nn.Linear(4, 2, seed=1)), X),
    "Softmax": (nn.Softmax, X),
}
CONSTRUCTORS = {
    "Activation": {"name": "elu"},
    "Attention": {},
    "Dropout": {},
    "Embedding": {"num_embeddings": 5, "embedding_dim": 3},
    "FleetLinear": {"in_features": 3, "out_features": 2, "models": 2},
    "LayerNorm": {"features": 3},
    "Linear": {"in_features": 3, "out_features": 2},
    "Softmax": {},
}


def _fleet_rows():
    """The calls of a fleet and of its stream."""
    prefix, x = "rnncore.Fleet", f4(2, 5, 2, 3)

    def made():
        return rnncore.Fleet("gru", 3, 4, models=2, seed=0)

    def stream():
        return made().stream(2)

    def backward():
        fleet, tape, dy = tape_of(made(), x)
        return fleet.backward, {"tape": tape, "dy": dy}

    return [
        Sound(prefix, lambda: (rnncore.Fleet, SIZES | {"cell": "gru", "models": 2})),
        Sound(f"{prefix}.stack", lambda: (rnncore.Fleet.stack, {"layers": [layer(), layer()]})),
        Sound(f"{prefix}.__call__", lambda: (made(), {"x": x})),
        Sound(f"{prefix}.forward", lambda: (made().forward, {"x": x})),
        Sound(f"{prefix}.backward", backward),
        Sound(f"{prefix}.load_state_dict", lambda: (made().load_state_dict, {"values": made().state_dict()})),
        Sound(f"{prefix}.stream", lambda: (made().stream, {})),
        Sound(f"{prefix}.stream.step", lambda: (stream().step, {"x": x[:, 0]})),
        Sound(f"{prefix}.stream.run", lambda: (stream().run, {"x": x})),
        Sound(
            f"{prefix}.stream.state",
            lambda: (lambda value: setattr(stream(), "state", value), {"value": None}),
        ),
    ]


def _fleet_optimiser_rows(kind):
    prefix = f"rnncore.nn.{kind.__name__}"

    def made():
        heads = nn.FleetLinear(3, 2, models=2, seed=0)
        return kind(heads), {name: array * 0 for name, array in heads.parameters().items()}

    def step():
        one, grads = made()
        return one.step, {"grads": grads}

    def load():
        one, _ = made()
        return one.load_state_dict, {"state": one.state_dict()}

    return [
        Sound(prefix, lambda: (kind, {"modules": nn.FleetLinear(3, 2, models=2, seed=0)})),
        Sound(f"{prefix}.step", step),
        Sound(f"{prefix}.load_state_dict", load),
    ]


def optimiser(kind):
    """(optimiser, gradients) of a small head."""
    head = rnncore.Linear(3, 2, seed=0)
    return kind(head), {name: array * 0 for name, array in head.parameters().items()}


def _optimiser_rows(kind):
    prefix = f"rnncore.nn.{kind.__name__}"

    def step():
        one, grads = optimiser(kind)
        return one.step, {"grads": grads}

    def load():
        one, _ = optimiser(kind)
        return one.load_state_dict, {"state": one.state_dict()}

    def load_one(name):
        def sound():
            one, _ = optimiser(kind)
            state = one.state_dict()
            return (lambda value: one.load_state_dict(state | {name: value})), {"value": state[name]}

        return sound

    names = optimiser(kind)[0].state_dict()
    return [
        Sound(prefix, lambda: (kind, {"modules": rnncore.Linear(3, 2, seed=0)})),
        Sound(f"{prefix}.step", step),
        Sound(f"{prefix}.load_state_dict", load),
        *(Sound(f"{prefix}.load_state_dict[{name}]", load_one(name)) for name in names),
    ]


SPEC = engine.Spec("lstm", 3, 4)


def weights(training=False):
    return engine.pack(SPEC, layer().parameters(), engine.needed(training))


def _engine_backward():
    y, _, tape = engine.record(weights(True), engine.Call(SPEC, X))
    return engine.backward, {"tape": tape, "dy": y}


ENGINE = [
    Sound("rnncore.engine.Spec", lambda: (engine.Spec, {"cell": "lstm"} | SIZES)),
    Sound("rnncore.engine.Spec.from_dict", lambda: (engine.Spec.from_dict, {"fields": SPEC.to_dict()})),
    Sound("rnncore.engine.Call", lambda: (engine.Call, {"spec": SPEC, "x": X}), ("dtypes",)),
    Sound("rnncore.engine.Training", lambda: (engine.Training, {"call": engine.Call(SPEC, X)})),
    Sound("rnncore.engine.pack", lambda: (engine.pack, {"spec": SPEC, "parameters": layer().parameters()})),
    Sound(
        "rnncore.engine.forward",
        lambda: (engine.forward, {"weights": weights(), "call": engine.Call(SPEC, X)}),
    ),
    Sound(
        "rnncore.engine.record",
        lambda: (engine.record, {"weights": weights(True), "call": engine.Call(SPEC, X)}),
    ),
    Sound("rnncore.engine.backward", _engine_backward),
    Sound("rnncore.engine.needed", lambda: (engine.needed, {})),
    Sound("rnncore.engine.stream", lambda: (engine.stream, {"weights": weights()})),
    Sound("rnncore.engine.tape_bytes", lambda: (engine.tape_bytes, {"spec": SPEC, "T": 5, "N": 2})),
    Sound("rnncore.engine.Stream", lambda: (engine.Stream, {"layer": layer()})),
    Sound("rnncore.engine.Stream.select", lambda: (layer().stream(2).select, {"rows": [1, 0]})),
]
LOSSES = [
    Sound("rnncore.nn.mse_loss", lambda: (nn.mse_loss, {"pred": X, "target": X})),
    Sound("rnncore.nn.cross_entropy", lambda: (nn.cross_entropy, {"logits": f4(2, 4), "labels": [1, 3]})),
    Sound(
        "rnncore.nn.quantile_loss",
        lambda: (nn.quantile_loss, {"pred": f4(5, 2), "target": f4(5), "quantiles": [0.1, 0.9]}),
    ),
    Sound("rnncore.nn.mixture_loss", lambda: (nn.mixture_loss, {"params": f4(5, 12), "target": f4(5, 2)})),
    Sound(
        "rnncore.nn.mixture_sample",
        lambda: (nn.mixture_sample, {"params": f4(5, 12), "rng": np.random.default_rng(0)}),
    ),
    Sound("rnncore.nn.sigmoid", lambda: (nn.sigmoid, {"x": X})),
    Sound("rnncore.nn.softmax", lambda: (nn.softmax, {"x": X})),
    Sound("rnncore.nn.reverse_valid", lambda: (nn.reverse_valid, {"x": X})),
]

CALLS = [
    *(
        row
        for name in ("RNN", "LSTM", "GRU", "MinGRU", "MinLSTM")
        for home in (rnncore, reference)
        for row in _layer_rows(name, home)
    ),
    *(
        Sound(f"rnncore.nn.{name}", lambda name=name: (getattr(nn, name), CONSTRUCTORS[name]))
        for name in CONSTRUCTORS
    ),
    *(row for name, (make, *inputs) in MODULES.items() for row in _module_rows(name, make, *inputs)),
    *_fleet_rows(),
    *_fleet_optimiser_rows(nn.FleetAdam),
    *_fleet_optimiser_rows(nn.FleetSGD),
    Sound(
        "rnncore.nn.FleetLinear.stack",
        lambda: (nn.FleetLinear.stack, {"heads": [nn.Linear(3, 2), nn.Linear(3, 2)]}),
    ),
    Sound("rnncore.nn.FleetRun", lambda: (nn.FleetRun, {"models": 3})),
    Sound("rnncore.nn.stack", lambda: (nn.stack, {"models": [nn.Linear(3, 2), nn.Linear(3, 2)]})),
    Sound("rnncore.nn.unstack", lambda: (nn.unstack, {"fleet": nn.FleetLinear(3, 2, models=2)})),
    Sound(
        "rnncore.nn.fleet_cross_entropy",
        lambda: (nn.fleet_cross_entropy, {"logits": X, "labels": np.zeros((5, 2), int)}),
    ),
    Sound("rnncore.nn.fleet_mse_loss", lambda: (nn.fleet_mse_loss, {"pred": X, "target": X})),
    *_optimiser_rows(rnncore.Adam),
    *_optimiser_rows(rnncore.SGD),
    *ENGINE,
    *LOSSES,
]
