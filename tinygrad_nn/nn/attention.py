"""MultiheadAttention: several attentions side by side, between two products with weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.init import Initializer, Seed, drawn, glorot_uniform
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.module import Module
from tinygrad_nn.ops.attention import attention
from tinygrad_nn.ops.shape import expand_dims, swapaxes
from tinygrad_nn.primitives import ArrayOrTensor
from tinygrad_nn.settings import positive_integer


class MultiheadAttention(Module):
    """Sequences (N, T, embed_dim), batch first, to means over sequences (N, S, embed_dim), one for each head.

    `in_proj_weight`, of shape (embed_dim, 3 * embed_dim), makes queries, keys and values, `out_proj` is a Dense after
    the heads, side by side (Vaswani et al., 2017, arXiv:1706.03762). The weights are PyTorch's, transposed.

    Args:
        embed_dim: features of inputs and results.
        num_heads: how many attentions there are, each of embed_dim / num_heads features.
        bias: whether to add biases, which start at zero.
        init: initialiser of `in_proj_weight` and of the weight of `out_proj`; Glorot uniform by default.
        rng: a seed or generator; the same seed gives the same layer bit for bit.
        dtype: of the parameters; plain inputs are cast to it.

    Raises:
        SettingError: sizes that are not positive integers, or heads that do not divide the features.
        ShapeError: inputs with other features, or a mask that does not fit.

    Example:
        >>> layer = MultiheadAttention(8, 2, rng=0)
        >>> layer(np.ones((4, 5, 8)), causal=True).shape
        (4, 5, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        bias: bool = True,
        init: Initializer | None = None,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.embed_dim = positive_integer("MultiheadAttention", "embed_dim", embed_dim)
        self.num_heads = positive_integer("MultiheadAttention", "num_heads", num_heads)
        if self.embed_dim % self.num_heads:
            raise SettingError(
                f"MultiheadAttention: embed_dim={embed_dim} features are not shared out evenly among "
                f"num_heads={num_heads}"
            )
        self.bias = bool(bias)
        rng = np.random.default_rng(rng)
        shape = self.embed_dim, 3 * self.embed_dim
        weight = drawn(
            "MultiheadAttention: init", glorot_uniform() if init is None else init, shape, rng, dtype
        )
        self.in_proj_weight = Tensor(weight, requires_grad=True)
        self.in_proj_bias = Tensor(np.zeros(3 * self.embed_dim, dtype), requires_grad=True) if bias else None
        self.out_proj = Dense(self.embed_dim, self.embed_dim, bias=bias, init=init, rng=rng, dtype=dtype)

    def forward(
        self,
        query: Operand,
        key: Operand | None = None,
        value: Operand | None = None,
        mask: ArrayOrTensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Return what each query sees: of itself, of `key`, or of `key` with the values of `value`.

        Args:
            query: of shape (N, T, embed_dim), or without N.
            key, value: of shape (N, S, embed_dim); `query` and `key` by default.
            mask: of shape (T, S), (N, T, S) or (N, num_heads, T, S), any of them 1; as in `tn.attention`.
            causal: whether query t sees the keys 0 to t alone.
        """
        key = query if key is None else key
        given = (query, key, key if value is None else value)
        q, k, v = (self._heads(x, part) for part, x in enumerate(given))
        if mask is not None and 2 < np.ndim(mask) < q.ndim:
            # The same for all heads.
            mask = expand_dims(mask, -3)
        seen: Tensor = swapaxes(attention(q, k, v, mask, causal), -2, -3)
        return self.out_proj(seen.reshape(*seen.shape[:-2], self.embed_dim))

    def _heads(self, x: Operand, part: int) -> Tensor:
        """Return queries, keys or values, of shape (N, num_heads, T, embed_dim / num_heads)."""
        ids = as_tensor(x).dtype.kind in "iu"
        x = cast_input(x, self.in_proj_weight.dtype)
        if x.ndim < 2 or x.shape[-1] != self.embed_dim:
            name = ("query", "key", "value")[part]
            hint = ""
            if ids:
                hint = f"\n  hint   nn.Embedding(symbols, {self.embed_dim}) before it, for numbers of symbols"
            elif self.embed_dim in x.shape[1:]:
                hint = f"\n  hint   features are on the last axis: np.moveaxis(x, {x.shape.index(self.embed_dim)}, -1)"
            raise ShapeError(
                f"MultiheadAttention: takes (N, T, {self.embed_dim}), the {name} has shape {x.shape}{hint}"
            )
        columns = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        y = x @ self.in_proj_weight[:, columns]
        if self.in_proj_bias is not None:
            y = y + self.in_proj_bias[columns]
        split = y.reshape(*y.shape[:-1], self.num_heads, self.embed_dim // self.num_heads)
        heads: Tensor = swapaxes(split, -2, -3)
        return heads

    def extra_repr(self) -> str:
        bias = "" if self.in_proj_bias is not None else ", bias=False"
        return f"{self.embed_dim}, {self.num_heads}{bias}"
