# SPDX-License-Identifier: MIT
"""Sound calls of what reads and writes, and of the rest, of which a sweep spoils one argument each."""

import importlib.util
import tempfile

import numpy as np
from sound_layers import CALLS as LAYERS
from sound_layers import Sound, X, f4, layer

import rnncore
from rnncore import blocks, cluster, formats, nn


def folder():
    """A new folder that lives as long as the process."""
    return tempfile.mkdtemp(dir=_FOLDERS.name)


_FOLDERS = tempfile.TemporaryDirectory()


def file():
    path = f"{folder()}/layer.safetensors"
    layer().save(path)
    return path


def _contents():
    return formats.load(file())


def _node():
    return formats.onnx.Node("RNN", {}, {"W": f4(1, 4, 3), "R": f4(1, 4, 4)})


SLOTS = {
    "X": X,
    "W": f4(1, 16, 3),
    "R": f4(1, 16, 4),
    "B": f4(1, 32),
    "sequence_lens": np.array([5, 3], np.int32),
    "initial_h": f4(1, 2, 4),
    "initial_c": f4(1, 2, 4),
    "P": f4(1, 12),
}
ATTRIBUTES = {
    "direction": "forward",
    "hidden_size": 4,
    "layout": 0,
    "clip": 1.0,
    "activations": ["Sigmoid", "Tanh", "Tanh"],
    "activation_alpha": [],
    "activation_beta": [],
    "input_forget": 0,
}


def _run_node_slot(slot, value):
    def run(value):
        return formats.onnx.run_node("LSTM", SLOTS | {slot: value})

    return Sound(f"rnncore.formats.onnx.run_node[{slot}]", lambda: (run, {"value": value}))


def _run_node_attribute(name, value):
    def run(value):
        return formats.onnx.run_node("LSTM", SLOTS, {name: value})

    return Sound(f"rnncore.formats.onnx.run_node({name})", lambda: (run, {"value": value}))


DATA = f4(4, 5, 3), f4(4, 5, 2)


def _fit():
    """Without arguments that may be sound and never end, or are somebody's functions."""
    head = nn.Linear(3, 2, seed=0)

    def fit(model=head, data=DATA, optimizer=None, batch_size=2, shards=16, seed=0,
            validation=None, patience=None, comm=None, checkpoint=None, resume=True, callbacks=()):  # fmt: skip
        named = dict(locals(), optimizer=nn.SGD(head, lr=0.1) if optimizer is None else optimizer, epochs=1)
        return nn.fit(**{name: named[name] for name in named if name != "head"}, loss=nn.mse_loss)

    return fit, {}


def table():
    """A file of Parquet's, or nothing that could be read where there is no pyarrow."""
    path = f"{folder()}/table.parquet"
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"x": [[0.5]], "y": [1.0]}), path)
    return path


def _score_files(source, engine="local", force=False):
    head = nn.Sequential(rnncore.GRU(1, 2, seed=0))
    head.save(path := f"{folder()}/model.safetensors")
    scorer = cluster.Scorer(path, "x", keep=["y"])
    return list(cluster.score_files(scorer, source, folder(), engine=engine, force=force))


def _blocks(source, inputs="x", target="y", rows=2**16, dtype="float32"):
    return blocks.Blocks(source, inputs, target, rows=rows, dtype=dtype)[0]


SERIES = {"store": [1, 1, 1, 1, 2, 2, 2, 2], "y": [0.0, 1.0, 0.0, 2.0, 5.0, 4.0, 6.0, 5.0]}
PAIRS = cluster.Windows("y", context=2)


def _small(seed):
    return nn.Sequential(nn.Recurrent(rnncore.GRU(1, 2, seed=seed), return_sequences=False), nn.Linear(2, 1))


def _fit_groups():
    """Without the number of epochs, and without somebody's function that is told of progress."""

    def fit_groups(table=SERIES, key="store", model=_small, seed=0, data=PAIRS, time=None, configs=None,
                   loss=nn.mse_loss, batch_size=2, patience=None, schedule=None, folder=None):  # fmt: skip
        return cluster.fit_groups(**locals(), epochs=1)

    return fit_groups, {}


def _score_groups():
    def score_groups(table=SERIES, key="store", models=None, predict=PAIRS.predict, time=None, ids=()):
        return cluster.score_groups(table, key, models, predict=predict, time=time, ids=ids)

    return score_groups, {"models": cluster.fit_groups(SERIES, "store", _small, data=PAIRS, epochs=1)}


def _pool(model, capacity, max_age=None, on_evict=None):
    """Without a clock, which is anybody's function."""
    return nn.SessionPool(model, capacity, max_age=max_age, on_evict=on_evict)


def _stepped():
    pool = nn.SessionPool(layer(), 3)
    pool.step([1], f4(1, 3))
    return pool


def _cosine(lr, low=0.0, warmup=0):
    return nn.Cosine(lr, low, warmup)


ONE = {name.removesuffix("_l0"): array for name, array in layer().state_dict().items()}
HEAD = rnncore.Linear(3, 2, seed=0)
FORMATS = [
    Sound("rnncore.load", lambda: (rnncore.load, {"path": file()})),
    Sound("rnncore.save", lambda: (rnncore.save, {"thing": layer(), "path": f"{folder()}/a.safetensors"})),
    Sound("rnncore.formats.load", lambda: (formats.load, {"path": file()})),
    Sound("rnncore.formats.to_bytes", lambda: (formats.to_bytes, {"thing": layer()})),
    Sound("rnncore.formats.from_bytes", lambda: (formats.from_bytes, {"data": formats.to_bytes(layer())})),
    Sound("rnncore.formats.inspect", lambda: (formats.inspect, {"path": file()})),
    Sound(
        "rnncore.formats.convert",
        lambda: (formats.convert, {"source": file(), "target": f"{folder()}/b.safetensors"}),
    ),
    *(
        Sound(f"rnncore.formats.Contents.{name}", lambda name=name: (getattr(_contents(), name), {}))
        for name in ("layer", "model", "record", "whole")
    ),
    *(
        Sound(f"rnncore.formats.Record.{name}", lambda name=name: (getattr(_contents().record(), name), {}))
        for name in ("layer", "module")
    ),
    Sound(
        "rnncore.formats.from_system",
        lambda: (
            formats.from_system,
            {"system": "keras", "cell": "lstm", "weight_ih": f4(3, 16), "weight_hh": f4(4, 16)},
        ),
    ),
    Sound(
        "rnncore.formats.to_system",
        lambda: (formats.to_system, {"system": "keras", "cell": "lstm", "parameters": ONE}),
    ),
    *(
        Sound(
            f"rnncore.formats.to_system[{name}]",
            lambda name=name: (
                lambda value: formats.to_system("keras", "lstm", ONE | {name: value}),
                {"value": ONE[name]},
            ),
        )
        for name in ONE
    ),
    Sound(
        "rnncore.formats.torch.from_state_dict",
        lambda: (formats.torch.from_state_dict, {"state": layer().state_dict()}),
    ),
    Sound(
        "rnncore.formats.torch.from_state_dict[weight_hh_l0]",
        lambda: (
            lambda value: formats.torch.from_state_dict(layer().state_dict() | {"weight_hh_l0": value}),
            {"value": ONE["weight_hh"]},
        ),
    ),
    Sound(
        "rnncore.formats.torch.from_module",
        lambda: (formats.torch.from_module, {"module": object()}),
        refused=True,
    ),
    Sound("rnncore.formats.torch.load", lambda: (formats.torch.load, {"source": layer().state_dict()})),
    Sound(
        "rnncore.formats.torch.module",
        lambda: (formats.torch.module, {"layer": layer()}),
        refused=importlib.util.find_spec("torch") is None,
    ),
    Sound(
        "rnncore.formats.torch.save",
        lambda: (formats.torch.save, {"layer": layer(), "path": f"{folder()}/a.safetensors"}),
    ),
    Sound("rnncore.formats.torch.state_dict", lambda: (formats.torch.state_dict, {"layer": layer()})),
    Sound("rnncore.formats.torch.to_array", lambda: (formats.torch.to_array, {"name": "a", "value": X})),
    Sound("rnncore.formats.keras.export", lambda: (formats.keras.export, {"layer": layer()})),
    Sound("rnncore.formats.keras.load", lambda: (formats.keras.load, {"source": file()}), refused=True),
    Sound(
        "rnncore.formats.keras.read_layers",
        lambda: (
            formats.keras.read_layers,
            {"name": "a", "kind": "LSTM", "config": {"use_bias": False}, "weights": [f4(3, 16), f4(4, 16)]},
        ),
    ),
    Sound("rnncore.formats.onnx.export", lambda: (formats.onnx.export, {"layer": layer()})),
    Sound("rnncore.formats.onnx.load", lambda: (formats.onnx.load, {"source": formats.onnx.export(layer())})),
    Sound(
        "rnncore.formats.onnx.Node",
        lambda: (
            formats.onnx.Node,
            {"op": "RNN", "attrs": {}, "arrays": {"W": f4(1, 4, 3), "R": f4(1, 4, 4)}},
        ),
    ),
    Sound(
        "rnncore.formats.onnx.read_nodes",
        lambda: (formats.onnx.read_nodes, {"name": "a", "nodes": [_node()]}),
    ),
    Sound(
        "rnncore.formats.onnx.run_node",
        lambda: (
            formats.onnx.run_node,
            {"op": "RNN", "inputs": {"X": X, "W": f4(1, 4, 3), "R": f4(1, 4, 4)}},
        ),
    ),
    *(_run_node_slot(slot, value) for slot, value in SLOTS.items()),
    *(_run_node_attribute(name, value) for name, value in ATTRIBUTES.items()),
]
REST = [
    Sound("rnncore.set_num_threads", lambda: (rnncore.set_num_threads, {"n": rnncore.get_num_threads()})),
    Sound("rnncore.use_backend", lambda: (rnncore.use_backend, {"name": "fused"})),
    Sound("rnncore.use_isa", lambda: (rnncore.use_isa, {"name": rnncore.isas()[0]})),
    Sound(
        "rnncore.nn.build_module",
        lambda: (nn.build_module, {"config": HEAD.config(), "parameters": HEAD.parameters()}),
    ),
    *(
        Sound(
            f"rnncore.nn.build_module[{name}]",
            lambda name=name: (
                lambda value: nn.build_module(HEAD.config() | {name: value}, HEAD.parameters()),
                {"value": HEAD.config()[name]},
            ),
        )
        for name in HEAD.config()
    ),
    Sound("rnncore.nn.Sequential", lambda: (lambda module: nn.Sequential(module), {"module": HEAD})),
    Sound("rnncore.nn.Recurrent", lambda: (nn.Recurrent, {"layer": layer()})),
    Sound("rnncore.nn.Recurrent.call", lambda: (nn.Recurrent(layer()).call, {"x": X})),
    Sound("rnncore.nn.Recurrent.stream", lambda: (nn.Recurrent(layer()).stream, {})),
    Sound("rnncore.nn.Sequential.stream", lambda: (nn.Sequential(layer()).stream, {})),
    Sound("rnncore.nn.SequentialStream", lambda: (nn.SequentialStream, {"model": nn.Sequential(layer())})),
    Sound(
        "rnncore.nn.SequentialStream.step",
        lambda: (nn.Sequential(layer(), nn.Linear(4, 2)).stream().step, {"x": f4(3)}),
    ),
    Sound(
        "rnncore.nn.SequentialStream.state",
        lambda: (lambda value: setattr(nn.Sequential(layer()).stream(), "state", value), {"value": [None]}),
    ),
    Sound("rnncore.nn.SessionPool", lambda: (_pool, {"model": layer(), "capacity": 3})),
    *(
        Sound(
            f"rnncore.nn.SessionPool.{name}",
            lambda name=name, given=given: (getattr(_stepped(), name), given()),
        )
        for name, given in {
            "step": lambda: {"ids": [1, 2], "x": f4(2, 3), "seq": [3, 4]},
            "seq": lambda: {"id": 1},
            "export": lambda: {"id": 1},
            "restore": lambda: {"id": 2, "blob": _stepped().export(1)},
            "drop": lambda: {"id": 1},
            "evict": lambda: {"max_age": 1.0},
        }.items()
    ),
    Sound("rnncore.nn.fit", _fit),
    Sound("rnncore.cluster.fit_groups", _fit_groups),
    Sound("rnncore.cluster.score_groups", _score_groups),
    Sound("rnncore.cluster.Windows", lambda: (cluster.Windows, {})),
    Sound("rnncore.cluster.Scorer", lambda: (cluster.Scorer, {"uri": file(), "columns": ["x", "y", "z"]})),
    Sound("rnncore.cluster.score_files", lambda: (_score_files, {"source": table()})),
    Sound("rnncore.blocks.Blocks", lambda: (_blocks, {"source": table()})),
    Sound("rnncore.nn.Cosine", lambda: (_cosine, {"lr": 0.1})),
    Sound("rnncore.nn.Progress", lambda: (nn.Progress, {})),
    Sound("rnncore.nn.Module.save", lambda: (HEAD.save, {"path": f"{folder()}/a.safetensors"})),
    Sound("rnncore.nn.Module.train", lambda: (HEAD.train, {"mode": False})),
    Sound("rnncore.GRU.tape_bytes", lambda: (layer().tape_bytes, {"T": 3, "N": 2})),
]


def torch_rows():
    """The calls of rnncore.torch, if there is PyTorch: constructors and what they check are PyTorch's."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    import rnncore.torch as door

    x = torch.ones(5, 2, 3)
    return [
        *(
            Sound(
                f"rnncore.torch.{name}.forward",
                lambda name=name: (getattr(door, name)(3, 4).forward, {"input": x}),
            )
            for name in ("RNN", "LSTM", "GRU", "MinGRU", "MinLSTM")
        ),
        *(
            Sound(
                f"rnncore.torch.{name}.forward",
                lambda name=name: (getattr(door, name)(3, 4).forward, {"input": x[0]}),
            )
            for name in ("RNNCell", "LSTMCell", "GRUCell")
        ),
        Sound("rnncore.torch.accelerate", lambda: (door.accelerate, {"model": torch.nn.GRU(3, 4)})),
        Sound("rnncore.torch.restore", lambda: (door.restore, {"model": torch.nn.GRU(3, 4)})),
    ]


CALLS = [*LAYERS, *FORMATS, *REST, *torch_rows()]
