# SPDX-License-Identifier: MIT
"""A table of rows by number, with explicit backward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..engine import draws, sums
from ..errors import ArgumentError, DTypeError
from ..layers.module import Module, Tape
from ..spec.initializers import seed_streams
from ..spec.tapes import Grads, claimed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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

    Examples
    --------
    >>> table = rnncore.nn.Embedding(10, 3, seed=0)
    >>> table([[1, 2, 1], [9, 0, 0]]).shape
    (2, 3, 3)
    """

    arguments: tuple[str, ...] = ("num_embeddings", "embedding_dim", "dtype")

    def __init__(
        self, num_embeddings: int, embedding_dim: int, dtype: str = "float32", seed: Any = None
    ) -> None:
        self.num_embeddings: int = spec.check_int("num_embeddings", num_embeddings, 1)
        self.embedding_dim: int = spec.check_int("embedding_dim", embedding_dim, 1)
        self.dtype: str = spec.check_dtype("dtype", dtype).name
        shape = (self.num_embeddings, self.embedding_dim)
        rng = seed_streams(seed)[0]
        with spec.claiming("num_embeddings", shape):
            weight = draws.normal(rng, shape).astype(self.dtype)
        super().__init__(weight=weight)

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        return {"weight": (config["num_embeddings"], config["embedding_dim"])}

    def __call__(self, ids: ArrayLike) -> np.ndarray:
        """ids: integers of any shape (...), 0..num_embeddings-1; gives (..., embedding_dim).

        Raises
        ------
        DTypeError, ArgumentError
        """
        ids = spec.read_array("ids", ids)
        if ids.dtype.kind not in "iu":
            raise DTypeError("ids", "an integer dtype", ids.dtype)
        if ids.size and (ids.min() < 0 or ids.max() >= self.num_embeddings):
            raise ArgumentError("ids", f"0..{self.num_embeddings - 1}", f"{ids.min()}..{ids.max()}")
        return self._parameters["weight"][ids]

    def forward(self, ids: ArrayLike) -> tuple[np.ndarray, Tape]:
        """Return ``(rows, tape)``; the tape keeps `ids` itself, which must not change before `backward`."""
        return self(ids), Tape(self, self.version, np.asarray(ids))

    def backward(self, tape: Tape, dy: ArrayLike) -> Grads:
        """Gradients of one forward call.

        Parameters
        ----------
        tape : Tape
            Used up by this call.
        dy : array (..., embedding_dim), the table's dtype
            0 where a number only fills up a ragged batch.

        Returns
        -------
        Grads
            `params["weight"]`, dense: 0 in the rows that were not asked for; `x` is None, numbers have no gradient.

        Raises
        ------
        TapeError, ShapeError, DTypeError

        Notes
        -----
        One addition for each number, in their order; O(ids * embedding_dim) and a table of zeros.
        """
        with claimed(tape, Tape, self, self.version):
            ids = tape.saved
            dy = self._features(dy, self.embedding_dim, "dy")
            spec.check_shape("dy", dy, (*ids.shape, self.embedding_dim))
        rows = dy.reshape(-1, self.embedding_dim)
        return Grads(None, None, {"weight": sums.add_rows(rows, ids.reshape(-1), self.num_embeddings)})
