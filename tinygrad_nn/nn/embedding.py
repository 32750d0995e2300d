"""Embedding, a table of rows that integers name."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.nn.init import Initializer, Seed, drawn, normal
from tinygrad_nn.nn.module import Module
from tinygrad_nn.ops.embedding import embedding
from tinygrad_nn.settings import positive_integer


class Embedding(Module):
    """Integers of any shape to the rows of a table that they name, (*shape, embedding_dim).

    Args:
        num_embeddings: rows of the table; ids are from 0 to num_embeddings - 1.
        embedding_dim: features of a row.
        init: initialiser of `weight`, of shape (num_embeddings, embedding_dim); N(0, 1) by default.
        rng: a seed or generator; the same seed gives the same table bit for bit.
        dtype: of the table.

    Raises:
        SettingError: a size that is not a positive integer.
        IndexingError: an id outside of the table; negative ones are.
        DtypeError: ids are not integers.

    Example:
        >>> Embedding(10, 4, rng=0)(np.array([[1, 2, 1]])).shape
        (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        init: Initializer | None = None,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_embeddings = positive_integer("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = positive_integer("Embedding", "embedding_dim", embedding_dim)
        shape = self.num_embeddings, self.embedding_dim
        weight = drawn(
            "Embedding: init", normal() if init is None else init, shape, np.random.default_rng(rng), dtype
        )
        self.weight = Tensor(weight, requires_grad=True)

    def forward(self, ids: Operand) -> Tensor:
        rows: Tensor = embedding(self.weight, ids)
        return rows

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
