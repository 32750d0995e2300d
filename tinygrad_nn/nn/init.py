"""Initialisers: factories of functions `f(shape, rng, dtype)` that return the first values of a parameter.

Of weights (*kernel, in, out) an output has fan_in = prod(kernel) * in terms, and an input is a term of
fan_out = prod(kernel) * out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.errors import DtypeError, SettingError, ShapeError
from tinygrad_nn.hints.lookups import face
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import supported

__all__ = [
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "normal",
    "ones",
    "orthogonal",
    "uniform",
    "zeros",
]

Initializer = Callable[[tuple[int, ...], np.random.Generator, DTypeLike], Array]
Seed = int | np.random.Generator | np.random.SeedSequence | None


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(f"this initialiser needs a shape of at least two axes (in, out), got {shape}")
    receptive = math.prod(shape[:-2])
    return shape[-2] * receptive, shape[-1] * receptive


def drawn(
    who: str, init: Initializer, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
) -> Array:
    """Return the first values of a parameter.

    Raises:
        DtypeError: the dtype is none of floats.
        SettingError: what is to draw them is no initialiser.
        ShapeError: it returns another shape.
    """
    dtype = of_parameters(who.partition(":")[0], dtype)
    name = init if isinstance(init, str) else getattr(init, "__name__", "")
    if not callable(init) or (init.__module__ == __name__ and name in __all__):
        hint = f"nn.init.{name}()" if name in __all__ else "nn.init.glorot_uniform(), or lambda *_: array"
        raise SettingError(f"{who} is an initialiser, got {name or type(init).__name__}\n  hint   {hint}")
    try:
        values = np.asarray(init(shape, rng, dtype), dtype)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        raise SettingError(
            f"{who} is called with shape, rng and dtype: {error}\n"
            "  hint   lambda shape, rng, dtype: np.zeros(shape, dtype), or nn.init.zeros()"
        ) from None
    if values.shape != shape:
        raise ShapeError(f"{who} returns shape {values.shape}, expected {shape}")
    return values


def of_parameters(who: str, dtype: DTypeLike) -> np.dtype:
    """Return the dtype of a layer's parameters, which are floats.

    Raises:
        DtypeError: it is none, or not one of floats.
    """
    known = supported(dtype, f"{who}: ")
    if known.kind != "f":
        raise DtypeError(f"{who}: parameters are floats, got dtype {known}\n  hint   dtype=np.float32")
    return known


def constant(value: float) -> Initializer:
    """Return an initialiser that fills with one value.

    Example:
        >>> constant(0.5)((2, 3), np.random.default_rng(0), np.float32)
        array([[0.5, 0.5, 0.5],
               [0.5, 0.5, 0.5]], dtype=float32)
    """
    return lambda shape, rng, dtype: np.full(shape, value, dtype)


def zeros() -> Initializer:
    """Return an initialiser that fills with zeros.

    Example:
        >>> import tinygrad_nn as tn
        >>> tn.nn.Dense(2, 3, init=zeros()).weight.data
        array([[0., 0., 0.],
               [0., 0., 0.]], dtype=float32)
    """
    return constant(0.0)


def ones() -> Initializer:
    """Return an initialiser that fills with ones.

    Example:
        >>> import tinygrad_nn as tn
        >>> tn.nn.Dense(2, 3, bias_init=ones()).bias.data
        array([1., 1., 1.], dtype=float32)
    """
    return constant(1.0)


def normal(std: float = 1.0, mean: float = 0.0) -> Initializer:
    """Return an initialiser that draws from N(mean, std**2).

    Raises:
        SettingError: std is not positive.

    Example:
        >>> w = normal(std=0.02)((1000, 100), np.random.default_rng(0), np.float32)
        >>> f"{w.std():.3f}"
        '0.020'
    """
    if not std > 0:
        raise SettingError(
            f"normal: std is positive, got {std}\n  hint   nn.init.normal(std=0.05); nn.init.constant(value)"
        )
    return lambda shape, rng, dtype: rng.normal(mean, std, shape).astype(dtype)


def uniform(low: float = -0.05, high: float = 0.05) -> Initializer:
    """Return an initialiser that draws from U(low, high).

    Example:
        >>> w = uniform(-0.1, 0.3)((1000, 100), np.random.default_rng(0), np.float32)
        >>> f"{w.min():.3f} {w.max():.3f}"
        '-0.100 0.300'
    """
    return lambda shape, rng, dtype: rng.uniform(low, high, shape).astype(dtype)


def _scaled_uniform(variance: Callable[[int, int], float]) -> Initializer:
    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> Array:
        limit = math.sqrt(3 * variance(*_fans(shape)))
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


def _scaled_normal(variance: Callable[[int, int], float]) -> Initializer:
    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> Array:
        return rng.normal(0.0, math.sqrt(variance(*_fans(shape))), shape).astype(dtype)

    return draw


def glorot_uniform() -> Initializer:
    """Return U(-r, r) with r = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    Example:
        >>> w = glorot_uniform()((300, 100), np.random.default_rng(0), np.float32)
        >>> f"{w.max():.3f} {np.sqrt(6 / 400):.3f}"
        '0.122 0.122'
    """
    return _scaled_uniform(lambda fan_in, fan_out: 2 / max(fan_in + fan_out, 1))


def glorot_normal() -> Initializer:
    """Return N(0, 2 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    Example:
        >>> w = glorot_normal()((300, 100), np.random.default_rng(0), np.float32)
        >>> f"{w.std():.3f} {np.sqrt(2 / 400):.3f}"
        '0.071 0.071'
    """
    return _scaled_normal(lambda fan_in, fan_out: 2 / max(fan_in + fan_out, 1))


def he_uniform() -> Initializer:
    """Return U(-r, r) with r = sqrt(6 / fan_in), for relu (He et al. 2015).

    Example:
        >>> w = he_uniform()((5, 5, 12, 100), np.random.default_rng(0), np.float32)  # a kernel: fan_in = 5 * 5 * 12
        >>> f"{w.max():.3f} {np.sqrt(6 / 300):.3f}"
        '0.141 0.141'
    """
    return _scaled_uniform(lambda fan_in, _: 2 / max(fan_in, 1))


def he_normal() -> Initializer:
    """Return N(0, 2 / fan_in), for relu (He et al. 2015).

    Example:
        >>> import tinygrad_nn as tn
        >>> layer = tn.nn.Dense(300, 1000, init=he_normal(), rng=0)
        >>> f"{layer.weight.data.std():.3f} {np.sqrt(2 / 300):.3f}"
        '0.082 0.082'
    """
    return _scaled_normal(lambda fan_in, _: 2 / max(fan_in, 1))


def lecun_normal() -> Initializer:
    """Return N(0, 1 / fan_in) (LeCun et al. 1998).

    Example:
        >>> w = lecun_normal()((300, 100), np.random.default_rng(0), np.float32)
        >>> f"{w.std():.3f} {np.sqrt(1 / 300):.3f}"
        '0.058 0.058'
    """
    return _scaled_normal(lambda fan_in, _: 1 / max(fan_in, 1))


def orthogonal(gain: float = 1.0) -> Initializer:
    """Return matrices (fan_in, out) whose columns, or rows where these are fewer, are orthogonal and of length `gain`.

    Uniform among all of them: Q of a normal matrix, with R's diagonal made positive (Saxe et al. 2013,
    arXiv:1312.6120).

    Example:
        >>> w = orthogonal()((5, 3), np.random.default_rng(0), np.float64)
        >>> np.allclose(w.T @ w, np.eye(3))
        True
    """

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> Array:
        fan_in, out = _fans(shape)[0], shape[-1]
        q, r = np.linalg.qr(rng.normal(size=(max(fan_in, out), min(fan_in, out))))
        q *= gain * np.where(np.diag(r) < 0, -1, 1)
        return (q if fan_in >= out else q.T).reshape(shape).astype(dtype)

    return draw


if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
