# SPDX-License-Identifier: MIT
"""As much of oneDNN's C interface as recurrent primitives need, by ctypes; the numbers stand in dnnl_types.h."""

import ctypes
import functools
import importlib.metadata
from typing import Any, ClassVar

import numpy as np

DISTRIBUTION = "onednn-cpu-gomp"
"""Built for OpenMP of GCC; others of oneDNN's distributions want Intel's run times."""
TRAINING, INFERENCE, BACKWARD = 64, 96, 128
LEFT_TO_RIGHT, BOTH_WAYS = 1, 3
OVERWRITE_GRADIENTS = 1
ARGUMENTS = {
    "src_layer": 1,
    "src_iter": 2,
    "src_iter_c": 3,
    "dst_layer": 17,
    "dst_iter": 18,
    "dst_iter_c": 19,
    "weights_layer": 33,
    "weights_iter": 34,
    "bias": 41,
    "workspace": 64,
}
DIFF = 128
"""What an argument's number and that of its gradient differ by."""
_TANH, _FLOAT32, _ANY, _CPU, _IN_ORDER, _EXEC_ARG_MD = 0x21, 3, 1, 1, 1, 255
_MAX_DIMENSIONS = 12
_ALLOCATE = ctypes.c_void_p(-1)


class _Argument(ctypes.Structure):
    _fields_: ClassVar = [("number", ctypes.c_int), ("memory", ctypes.c_void_p)]


class _Version(ctypes.Structure):
    _fields_: ClassVar = [
        *((name, ctypes.c_int) for name in ("major", "minor", "patch")),
        ("hash", ctypes.c_char_p),
        ("cpu_runtime", ctypes.c_uint),
        ("gpu_runtime", ctypes.c_uint),
    ]


def find() -> str:
    """Path of the library; PackageNotFoundError without its distribution."""
    files = importlib.metadata.files(DISTRIBUTION) or []
    return next((str(file.locate()) for file in files if file.name == "libdnnl.so.3"), "")


@functools.cache
def load() -> Any:
    """The library, with the types that ctypes cannot guess."""
    dnnl = ctypes.CDLL(find())
    dnnl.dnnl_version.restype = ctypes.POINTER(_Version)
    dnnl.dnnl_primitive_desc_query_md.restype = ctypes.c_void_p
    dnnl.dnnl_primitive_execute.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    dnnl.dnnl_stream_wait.argtypes = [ctypes.c_void_p]
    return dnnl


def version() -> str:
    """Version of the library itself, such as 3.2.0; its distribution has a year's."""
    found = load().dnnl_version().contents
    return f"{found.major}.{found.minor}.{found.patch}"


class Engine:
    """An engine and a stream of the CPU, and all that is made for them, which goes with them."""

    def __init__(self) -> None:
        self.dnnl: Any = load()
        self.execute: Any = self.dnnl.dnnl_primitive_execute
        self.wait: Any = self.dnnl.dnnl_stream_wait
        self.made: list[tuple[str, ctypes.c_void_p]] = []
        self.engine: ctypes.c_void_p = self._make("engine_create", _CPU, ctypes.c_size_t(0))
        self.stream: ctypes.c_void_p = self._make("stream_create", self.engine, ctypes.c_uint(_IN_ORDER))

    def __del__(self) -> None:
        for kind, made in self.made[::-1]:
            getattr(self.dnnl, f"dnnl_{kind}_destroy")(made)

    def _make(self, function: str, *arguments: Any) -> ctypes.c_void_p:
        """What a function puts into its first argument; RuntimeError for a status other than success."""
        made = ctypes.c_void_p()
        status = getattr(self.dnnl, f"dnnl_{function}")(ctypes.byref(made), *arguments)
        if status:
            raise RuntimeError(f"dnnl_{function}: status {status}")
        kinds = ("primitive_desc", "memory_desc", "primitive", "memory", "stream", "engine")
        self.made.append((next(kind for kind in kinds if kind in function), made))
        return made

    def shape(self, *sizes: int) -> ctypes.c_void_p:
        """Descriptor of float32 in whatever order the primitive likes best."""
        dims = (ctypes.c_int64 * _MAX_DIMENSIONS)(*sizes)
        return self._make("memory_desc_create_with_tag", len(sizes), dims, _FLOAT32, _ANY)

    def rows(self, *sizes: int) -> ctypes.c_void_p:
        """Descriptor of a C-contiguous float32 array."""
        dims = (ctypes.c_int64 * _MAX_DIMENSIONS)(*sizes)
        strides = (ctypes.c_int64 * _MAX_DIMENSIONS)(
            *(int(np.prod(sizes[i + 1 :])) for i in range(len(sizes)))
        )
        return self._make("memory_desc_create_with_strides", len(sizes), dims, _FLOAT32, strides)

    def view(self, array: np.ndarray) -> ctypes.c_void_p:
        """Memory object of a C-contiguous float32 array, which the caller keeps."""
        return self.memory(self.rows(*array.shape), ctypes.c_void_p(array.ctypes.data))

    def memory(self, shape: Any, data: ctypes.c_void_p = _ALLOCATE) -> ctypes.c_void_p:
        """Memory object, by default with memory of its own."""
        return self._make("memory_create", shape, self.engine, data)

    def recurrent(
        self, cell: str, kind: int, direction: int, shapes: dict[str, Any], hint: Any = None
    ) -> Any:
        """Descriptor of a recurrent primitive; `hint` is that of the forward pass of a backward one."""
        lstm = cell == "lstm"
        names = ["src_layer", "src_iter", *(["src_iter_c"] if lstm else []), "weights_layer", "weights_iter"]
        names += ["peephole", "projection"] if lstm else []
        names += ["bias", "dst_layer", "dst_iter", *(["dst_iter_c"] if lstm else [])]
        back = kind == BACKWARD
        names += [f"diff_{name}" for name in names] if back else []
        function = {"rnn": "vanilla_rnn", "lstm": "lstm", "gru": "lbr_gru"}[cell]
        slopes = [ctypes.c_float(0), ctypes.c_float(0)] if cell == "rnn" else []
        return self._make(
            f"{function}_{'backward' if back else 'forward'}_primitive_desc_create",
            self.engine,
            kind,
            *([_TANH] if cell == "rnn" else []),
            direction,
            *(shapes.get(name) for name in names),
            ctypes.c_uint(OVERWRITE_GRADIENTS if back else 0),
            *slopes,
            *([hint] if back else []),
            None,
        )

    def wanted(self, primitive: ctypes.c_void_p, number: int) -> ctypes.c_void_p:
        """Descriptor of an argument as the primitive wants it."""
        return ctypes.c_void_p(self.dnnl.dnnl_primitive_desc_query_md(primitive, _EXEC_ARG_MD, number))

    def call(self, primitive: ctypes.c_void_p, arguments: dict[int, ctypes.c_void_p]) -> tuple[Any, ...]:
        """Arguments of `execute` for a primitive's descriptor and memory objects by number."""
        made = self._make("primitive_create", primitive)
        packed = (_Argument * len(arguments))(*arguments.items())
        return made, self.stream, len(arguments), packed

    def run(self, calls: list[tuple[Any, ...]]) -> None:
        """Execute in order and wait. RuntimeError when one fails."""
        failed = 0
        for call in calls:
            failed |= self.execute(*call)
        failed |= self.wait(self.stream)
        if failed:
            raise RuntimeError(f"oneDNN: status {failed}")

    def packed(self, array: np.ndarray, shape: ctypes.c_void_p) -> ctypes.c_void_p:
        """Memory object of `shape` with the values of a C-contiguous array."""
        target = self.memory(shape)
        source = self.rows(*array.shape)
        reorder = self._make("reorder_primitive_desc_create", source, self.engine, shape, self.engine, None)
        self.run([self.call(reorder, {1: self.view(array), 17: target})])
        return target
