"""Ops that draw random numbers: from a generator among their parameters, anew each time that they run."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, ArrayOrTensor, Sample, composite, kernel
from tinygrad_nn.settings import check_share

_WORDS = 4
"""How many draws there are in one number of the generator's."""
_VALUES = 1 << 16
"""How many values a draw has."""


def _one_by_one(x: Array, p: float, rng: np.random.Generator) -> Array:
    numbers = rng.integers(2**64, size=-(-x.size // _WORDS), dtype=np.uint64).tolist()
    draws = [number >> (16 * k) & 0xFFFF for number in numbers for k in range(_WORDS)][: x.size]
    kept = [draw > p * 65536 or (draw == int(p * 65536) and rng.random() >= p * 65536 % 1) for draw in draws]
    return np.reshape([1 / (1 - p) if keep else 0.0 for keep in kept], x.shape)


_SHAPES = cases([each((3, 4), (5,), (), (0, 2), (2, 3, 3)), {"p": each(0.5, 0.25, 0.1)}, (3, 4), {"p": 0.0}])


def _calls(rng: np.random.Generator) -> list[Sample]:
    return [(operands, params | {"rng": np.random.default_rng(5)}) for operands, params in _SHAPES(rng)]


@kernel(None, differentiable=False, method=False, samples=_calls, reference=_one_by_one)
def keep_mask(x: Array, *, p: float = 0.5, rng: np.random.Generator) -> Array:
    """Of the shape and dtype of x, 0 with probability p and 1 / (1 - p) elsewhere, so that its mean is 1.

    A draw of 16 bits decides; where it says that p lies between its values, a draw of 53 bits more. So p is exact, and
    four elements cost one number of the generator.

    Raises:
        ArgumentError: `rng` is no generator of NumPy.
        SettingError: `p` is no number from 0 to 1.

    Example:
        >>> keep_mask(np.zeros(6), p=0.5, rng=np.random.default_rng(1))
        array([2., 0., 2., 2., 2., 2.])
    """
    _check("keep_mask", p, rng)
    x = np.asarray(x)
    dtype = x.real.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)
    return fill_keep_mask(np.empty(x.shape, dtype), p=p, rng=rng)


def fill_keep_mask(mask: Array, *, p: float = 0.5, rng: np.random.Generator) -> Array:
    """Fill and return a mask of this shape and dtype."""
    numbers = rng.integers(2**64, size=-(-mask.size // _WORDS), dtype=np.uint64)
    draws = numbers.view(np.uint16)[: mask.size]
    whole = int(p * _VALUES)
    rest = p * _VALUES - whole
    kept = draws >= whole
    if rest:
        undecided = np.flatnonzero(draws == whole)
        kept[undecided] = rng.random(len(undecided)) >= rest
    return np.multiply(kept.reshape(mask.shape), 1 / (1 - p) if p < 1 else 0.0, mask, dtype=mask.dtype)


def _check(who: str, p: float, rng: object) -> None:
    check_dropped(who, p)
    if not isinstance(rng, np.random.Generator):
        raise ArgumentError(
            f"{who}: rng={rng!r:.60} is no generator, whose state moves on from draw to draw\n"
            "  hint   rng = np.random.default_rng(0), made once; then rng=rng in each call"
        )


def check_dropped(who: str, p: object) -> None:
    """Raise `SettingError` unless p is a probability of dropping."""
    check_share(who, "p is the probability of dropping", p, "\n  hint   p=0.1 drops one of ten")


@composite(
    method=False,
    samples=_calls,
    reference=lambda x, p, rng: x * _one_by_one(x, p, rng),
    settings=("p", "rng"),
)
def dropout(x: ArrayOrTensor, p: float = 0.5, *, rng: np.random.Generator) -> ArrayOrTensor:
    """x with each element set to 0 with probability p and divided by 1 - p elsewhere (Srivastava et al. 2014).

    The mask is drawn anew on each call, on each replay of a compiled step too; derivatives of all orders are those with
    the mask of their call.

    Args:
        x: of any shape; integers become float64.
        p: the probability of dropping; with 1, all of them are.
        rng: a generator of NumPy, which moves on.

    Raises:
        ArgumentError: `rng` is no generator of NumPy.
        SettingError: `p` is no number from 0 to 1.

    Example:
        >>> dropout(np.arange(6.0), 0.5, rng=np.random.default_rng(1))
        array([ 0.,  0.,  4.,  6.,  8., 10.])
    """
    _check("dropout", p, rng)
    return x * keep_mask(x, p=p, rng=rng)
