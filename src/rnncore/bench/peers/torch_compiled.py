# SPDX-License-Identifier: MIT
"""PyTorch through torch.compile."""

import functools
import os
import pathlib
import shutil
import tempfile
from typing import Any, ClassVar

from ..cases import Case, Problem
from .torch_peer import Torch

UNROLLED = 8
"""Most cells that are compiled one after the other: the time to compile grows with them."""


def _run(module: Any, x: Any, state: Any = None) -> Any:
    """What is compiled: a module of torch.nn by itself would not be looked into."""
    return module(x, state)


class TorchCompiled(Torch):
    """torch.compile of torch.nn's module, sizes fixed, with `torch._dynamo.config.allow_rnn`.

    Without that setting torch.compile leaves these modules as they are. With it an LSTM in inference is a call of
    oneDNN for each layer and direction, whatever its length; everything else is written out step by step, with its
    backward pass, and compiled as a whole.
    """

    name = "torch-compile"
    title = "PyTorch compiled"
    takes_lengths = False
    stores: ClassVar[tuple[str, ...]] = ()
    _compiled: ClassVar[dict[Case, Any]] = {}
    """Of the last case, which is not compiled again when it is prepared again."""

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        if case not in self._compiled:
            self.torch._dynamo.reset()
            self.torch._dynamo.config.allow_rnn = True
            type(self)._compiled = {case: self.torch.compile(_run, dynamic=False, fullgraph=True)}
        self.call: Any = functools.partial(self._compiled[case], self.module)

    @classmethod
    def preload(cls) -> None:
        """Import, and forget what an earlier process compiled, so that the first call tells what compiling costs."""
        super().preload()
        folder = pathlib.Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        shutil.rmtree(folder, ignore_errors=True)

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        folder = pathlib.Path(tempfile.gettempdir(), f"rnncore-bench-inductor-{os.getpid()}")
        return {
            **super().environment(threads),
            "TORCHINDUCTOR_CACHE_DIR": str(folder),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # otherwise idle processes stand beside what is measured
        }

    @classmethod
    def refuses(cls, case: Case) -> str:
        unrolls = case.cell != "lstm" or case.trains or case.dtype != "float32"
        if unrolls and case.T * case.L * case.D > UNROLLED:
            return f"would compile {case.T * case.L * case.D} cells one after the other, more than {UNROLLED}"
        return ""
