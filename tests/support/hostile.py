# SPDX-License-Identifier: MIT
"""Files that want to run something, to read another file, or to take all memory: name -> writer of one in a folder."""

import io
import itertools
import json
import os
import pickle
import struct
import zipfile

import numpy as np

import rnncore

MB = 2**20
LSTM = rnncore.LSTM(3, 2, seed=0)
KERAS = {
    "class_name": "Sequential",
    "config": {"layers": [{"class_name": "LSTM", "config": {"name": "lstm", "units": 2}}]},
}


def written(name, content):
    def write(folder):
        path = folder / name
        path.write_bytes(content() if callable(content) else content)
        return path

    return write


# safetensors -----------------------------------------------------------------------------------------------


def header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


def own(change):
    """Our own file whose description is another one."""

    def write(folder):
        path = folder / "own.safetensors"
        LSTM.save(path)
        tensors, metadata = rnncore.formats.safetensors.read(path)
        found = change(json.loads(metadata["rnncore"]))
        text = found if isinstance(found, str) else json.dumps(found)
        rnncore.formats.safetensors.write(path, tensors, {"rnncore": text})
        return path

    return write


def many(text, count):
    return lambda: header(b"[" + text * count + b"0]")


def claims(shape, end, data=b""):
    entry = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
    return header(json.dumps(entry).encode(), data)


SAFETENSORS = {
    "a header of 2**63 bytes": written("a.safetensors", struct.pack("<Q", 2**63) + b"{}"),
    "a header of 8 MB of nothing": written("a.safetensors", lambda: header(b'{"' + b" " * 8 * MB + b'":1}')),
    "a million lists": written("a.safetensors", many(b"[],", 340_000)),
    "a million dicts": written("a.safetensors", many(b"{},", 340_000)),
    "names without number": written(
        "a.safetensors", lambda: header(b"{" + b",".join(b'"%x":1' % k for k in range(100_000)) + b"}")
    ),
    "nested without end": written("a.safetensors", lambda: header(b'{"a":' * 200_000)),
    "NaN for a size": written(
        "a.safetensors", header(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}')
    ),
    "a name twice": written("a.safetensors", header(b'{"a":1,"a":1}')),
    "terabytes": written("a.safetensors", claims([2**40], 2**42)),
    "sizes whose product overflows": written("a.safetensors", claims([2**32, 2**32], 0)),
    "axes of nothing": written("a.safetensors", claims([2**62, 0], 0)),
    "layers without number": own(lambda h: h | {"architecture": h["architecture"] | {"num_layers": 10**9}}),
    "a hidden size of 2**40": own(lambda h: h | {"architecture": h["architecture"] | {"hidden_size": 2**40}}),
    "a size that is not a number": own(
        lambda h: json.dumps(h).replace('"input_size": 3', '"input_size": NaN')
    ),
    "a description twice": own(lambda h: '{"format": "rnncore.layer", "format": "rnncore.layer"}'),
    "a nested description": own(lambda h: "[" * 100_000),
    "chains in chains": own(
        lambda h: (
            '{"format":"rnncore.sequential","version":1,"modules":'
            + '[{"kind":"Sequential","modules":' * 400
            + "[]"
            + "}]" * 400
            + "}"
        )
    ),
}

# PyTorch ---------------------------------------------------------------------------------------------------


class Planted:
    """A pickle that makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def archive(parts, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return stream.getvalue()


def pickled(content, method=zipfile.ZIP_STORED):
    return lambda: archive({"a/data.pkl": content, "a/version": b"3\n", "a/byteorder": b"little"}, method)


def planted(folder):
    (folder / "a.pt").write_bytes(pickled(pickle.dumps({"weight_hh_l0": Planted(folder / "executed")}))())
    return folder / "a.pt"


def planted_alone(folder):
    """A bare pickle with the number that PyTorch's oldest files start with."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    (folder / "a.pt").write_bytes(magic + pickle.dumps(Planted(folder / "executed"), protocol=2))
    return folder / "a.pt"


def system_call(folder):
    """The classic: a call of os.system by name."""
    text = f"cos\nsystem\n(S'touch {folder}/executed'\ntR.".encode()
    (folder / "a.pt").write_bytes(pickled(text)())
    return folder / "a.pt"


def shared(depth, width):
    """Dicts that hold the one below many times."""
    value = {"a": 1}
    for _ in range(depth):
        value = {str(k): value for k in range(width)}
    return pickle.dumps(value, protocol=2)


PYTORCH = {
    "a pickle that opens a file": planted,
    "an old pickle that opens a file": planted_alone,
    "a call of os.system": system_call,
    "compressed zeros": written("a.pt", pickled(bytes(64 * MB), zipfile.ZIP_DEFLATED)),
    "a million empty lists": written("a.pt", pickled(b"\x80\x02(" + b"]" * 2 * MB + b"l.")),
    "a million empty lists, old": written(
        "a.pt",
        lambda: pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + b"\x80\x02(" + b"]" * 8 * MB + b"l.",
    ),
    "a pickle of 8 MB": written("a.pt", pickled(b"\x80\x02" + b"N0" * 4 * MB + b"N.")),
    "shared dicts": written("a.pt", pickled(shared(8, 30))),
    "names that grow": written("a.pt", pickled(pickle.dumps({"x" * 10**6: {"y" * 10**6: 1}}, protocol=2))),
    "a pickle without end": written("a.pt", pickled(b"\x80\x02(" * 1000)),
    "names without number": written("a.pt", lambda: archive({f"a/{k}.pkl": b"" for k in range(40_000)})),
    "a name that leads out": written("a.pt", archive({"../../data.pkl": b"\x80\x02}.", "version": b"3\n"})),
}

# Keras -----------------------------------------------------------------------------------------------------


def keras(weights=b"", config=KERAS, method=zipfile.ZIP_STORED, more=()):
    text = config if isinstance(config, (str, bytes)) else json.dumps(config)
    return archive({"config.json": text, "model.weights.h5": weights} | dict(more), method)


def hdf5(fill):
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file.require_group("layers/lstm/cell/vars"))
    return stream.getvalue()


def dataset(**options):
    def fill(group):
        group.create_dataset("0", **options)
        group.create_dataset("1", data=np.zeros((2, 8), np.float32))
        group.create_dataset("2", data=np.zeros(8, np.float32))

    return lambda: keras(hdf5(fill))


def sound_keras():
    return dataset(data=np.zeros((3, 8), np.float32))()


def linked(kind):
    def fill(group):
        import h5py

        link = h5py.ExternalLink("/etc/passwd", "/") if kind == "external" else h5py.SoftLink(group.name)
        group["0"] = link

    return lambda: keras(hdf5(fill))


def lambda_layer():
    """A layer whose config is Python's byte code, as Keras writes it."""
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None, "closure": None}}
    layer = {"class_name": "Lambda", "config": {"name": "lambda", "function": code}}
    return keras(hdf5(lambda group: None), KERAS | {"config": {"layers": [layer]}})


def deep_models():
    config = {"layers": []}
    for _ in range(200):
        config = {"layers": [{"class_name": "Sequential", "config": config}]}
    return keras(hdf5(lambda group: None), {"class_name": "Sequential", "config": config})


KERAS_FILES = {
    "zeros of 256 MB, compressed": written(
        "a.keras", lambda: keras(bytes(256 * MB), method=zipfile.ZIP_DEFLATED)
    ),
    "a config of 64 MB, compressed": written(
        "a.keras", lambda: keras(config=" " * 64 * MB, method=zipfile.ZIP_DEFLATED)
    ),
    "a config of lists": written("a.keras", lambda: keras(config="[" + "[]," * 340_000 + "0]")),
    "a nested config": written("a.keras", keras(config="[" * 200_000)),
    "a config with NaN": written("a.keras", keras(config='{"config": {"layers": [NaN]}}')),
    "models in models": written("a.keras", deep_models),
    "an array of 4 TB": written("a.keras", dataset(shape=(2**20, 2**20), dtype="f4", chunks=(64, 64))),
    "an array of 64 MB never written": written(
        "a.keras", dataset(shape=(16, MB), dtype="f4", chunks=(1, 1024))
    ),
    "zeros of 128 MB in HDF5, compressed": written(
        "a.keras", dataset(data=np.zeros((32, MB), np.float32), compression="gzip")
    ),
    "arrays in another file": written(
        "a.keras", dataset(shape=(3, 8), dtype="f4", external=[("/etc/passwd", 0, 96)])
    ),
    "a link to another file": written("a.keras", linked("external")),
    "a link to itself": written("a.keras", linked("soft")),
    "a function in byte code": written("a.keras", lambda_layer),
    "a name that leads out": written("a.keras", lambda: keras(more={"../../executed": b"x"})),
    "weights that are no HDF5": written("a.keras", keras(b"hello" * 1000)),
}

# ONNX ------------------------------------------------------------------------------------------------------


def field(number, content):
    """A field of Protocol Buffers that holds bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


VERSION = b"\x08\x08"  # ir_version 8
GRAPH, NODE, TENSOR, ATTRIBUTE, SUBGRAPH = 7, 1, 5, 5, 6


def nested_graphs(depth):
    content = b""
    for _ in range(depth):
        content = field(NODE, field(ATTRIBUTE, field(SUBGRAPH, content)))
    return VERSION + field(GRAPH, content)


def dims(count):
    """An input with so many unnamed sizes."""
    shape = field(2, field(1, field(2, b"\x0a\x00" * count)))
    return VERSION + field(GRAPH, field(11, shape))


def sums_of_sums(depth):
    """A state that names the one before it twice, and so on."""
    import onnx

    model = rnncore.formats.onnx.export(LSTM, state=True)
    names = ["h0", *(f"twice{k}" for k in range(depth))]
    for before, after in itertools.pairwise(names):
        model.graph.node.append(onnx.helper.make_node("Concat", [before, before], [after], axis=0))
    lstm = next(node for node in model.graph.node if node.op_type == "LSTM")
    lstm.input[5] = names[-1]
    return model.SerializeToString()


def growing(op, depth):
    """Weights that double with each node."""
    import onnx

    model = rnncore.formats.onnx.export(LSTM)
    names = ["R0", *(f"twice{k}" for k in range(depth))]
    for before, after in itertools.pairwise(names):
        model.graph.node.append(onnx.helper.make_node(op, [before, before], [after], axis=0))
    next(node for node in model.graph.node if node.op_type == "LSTM").input[2] = names[-1]
    return model.SerializeToString()


def external(location):
    def write(folder):
        import onnx

        inside = folder / "model"
        inside.mkdir()
        (folder / "secret").write_bytes(bytes(1000))
        os.symlink(folder / "secret", inside / "link")
        model = rnncore.formats.onnx.export(LSTM)
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "W0")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location.format(folder=folder))
        path = inside / "a.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def claimed(count, claimed_dims):
    """A weight of few bytes and huge dimensions."""

    def make():
        model = rnncore.formats.onnx.export(LSTM)
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "W0")
        tensor.ClearField("dims")
        tensor.dims.extend(claimed_dims)
        tensor.raw_data = bytes(4 * count)
        return model.SerializeToString()

    return make


ONNX = {
    "a million empty nodes": written(
        "a.onnx", lambda: VERSION + field(GRAPH, bytes([NODE << 3 | 2, 0]) * MB)
    ),
    "a million empty weights": written(
        "a.onnx", lambda: VERSION + field(GRAPH, bytes([TENSOR << 3 | 2, 0]) * MB)
    ),
    "a million sizes": written("a.onnx", lambda: dims(MB)),
    "numbers of one byte": written(
        "a.onnx", lambda: VERSION + field(GRAPH, field(TENSOR, field(7, b"\1" * 16 * MB)))
    ),
    "graphs in graphs": written("a.onnx", lambda: nested_graphs(30)),
    "graphs in graphs without end": written("a.onnx", lambda: nested_graphs(2000)),
    "sums of sums": written("a.onnx", lambda: sums_of_sums(64)),
    "weights that double": written("a.onnx", lambda: growing("Concat", 30)),
    "weights of 2**62": written("a.onnx", claimed(24, (1, 2**31, 2**31))),
    "weights of negative sizes": written("a.onnx", claimed(24, (1, -8, -3))),
    "weights in the parent folder": external("../secret"),
    "weights anywhere": external("{folder}/secret"),
    "weights behind a link": external("link"),
    "a length beyond the end": written("a.onnx", VERSION + b"\x3a\xff\xff\xff\xff\x0f"),
    "a number without end": written("a.onnx", VERSION + b"\xff" * 100),
}
FILES = {
    f"{kind}: {name}": write
    for kind, table in (
        ("safetensors", SAFETENSORS),
        ("PyTorch", PYTORCH),
        ("Keras", KERAS_FILES),
        ("ONNX", ONNX),
    )
    for name, write in table.items()
}
NEEDS = {"PyTorch": "torch", "Keras": "h5py", "ONNX": "onnx"}
# Files of which readers say what they hold, and that is nothing that could be used, or nothing wrong.
HARMLESS = {
    "Keras: models in models",
    "Keras: a function in byte code",
    "ONNX: graphs in graphs",
    "ONNX: sums of sums",
    "ONNX: weights that double",
}
