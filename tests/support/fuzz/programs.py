"""Random programs: lists of steps, drawn against example values, that can be run on any others of the same kinds."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

import tinygrad_nn as tn
from tests.support.fuzz.cases import chance, pick
from tinygrad_nn.nn import losses

SIZE, LARGEST = 300, 1e4
"""Values with more elements or larger ones are not worked on."""


@dataclass(frozen=True)
class Step:
    """A function of earlier values."""

    name: str
    function: Callable
    operands: tuple[int, ...]

    def __str__(self):
        keywords = getattr(self.function, "keywords", "") or ""
        return f"{self.name}{list(self.operands)} {keywords}"


@dataclass
class Program:
    """Steps, each of which makes one value more out of those that are there."""

    steps: list[Step]

    def run(self, values, convert=lambda x: x):
        """Return the given values and those made of them, each as `convert` gives it back."""
        values = list(values)
        for step in self.steps:
            values.append(convert(step.function(*[values[k] for k in step.operands])))
        return values

    def __str__(self):
        return "\n".join(f"  {step}" for step in self.steps)


def total(values):
    """Return a weighted sum of all floating values, and all others as they are.

    The arcus tangens keeps what is large from drowning the rest, or from being nothing but rounding.
    """
    result = 0.0
    for k, value in enumerate(values):
        if value.dtype.kind == "f":
            result = result + np.sum(np.arctan(value)) * ((0.5 + 0.1 * k) / max(value.size, 1))
    for value in values:
        if value.dtype.kind in "iub":
            result = result + np.sum(value % 7 if value.dtype.kind != "b" else value)
    return result


def draw(rng, examples, length, vocabulary):
    """Return a program of at most so many steps for values like the examples, which are tensors.

    `vocabulary` has functions by name that take a generator and the values so far, and return a function and the
    numbers of its operands, or None where nothing fits.
    """
    values, steps = list(examples), []
    names = list(vocabulary)
    for _ in range(length):
        name = pick(rng, names)
        drawn = vocabulary[name](rng, values)
        if drawn is None:
            continue
        function, operands = drawn
        made = function(*[values[k] for k in operands])
        if made.size <= SIZE and _is_moderate(made):
            steps.append(Step(name, function, tuple(int(k) for k in operands)))
            values.append(made)
    return Program(steps)


def plain(value):
    """Return the array of a value."""
    return np.asarray(value.data if isinstance(value, tn.Tensor) else value)


def _is_moderate(value):
    array = plain(value)
    return array.size == 0 or bool(np.all(np.abs(array.astype(np.float64)) < LARGEST))


def shaped(x, shape):
    """Return a value of another shape that depends on all or some of `x`."""
    size = math.prod(shape)
    if not x.size:
        return np.broadcast_to(np.sum(x), shape)
    return x.reshape(-1)[np.arange(size) % x.size].reshape(shape)


def of_kind(values, kinds, fits=lambda x: True):
    """Return the numbers of the values whose dtype is of one of these kinds."""
    return [k for k, x in enumerate(values) if x.dtype.kind in kinds and fits(x)]


# Entries of the vocabulary. Most have one floating operand.


def _unary(make, fits=lambda x: True):
    """Return an entry for one floating operand; `make` returns a function for an example of it."""

    def entry(rng, values):
        places = of_kind(values, "f", fits)
        if not places:
            return None
        # Later values more often, so that programs become deep.
        k = places[-1] if chance(rng, 0.3) else pick(rng, places)
        return make(rng, values[k]), (k,)

    return entry


def _binary(make, fits=lambda a, b: True):
    """Return an entry for two floating operands."""

    def entry(rng, values):
        places = of_kind(values, "f")
        pairs = [(a, b) for a in places for b in places if fits(values[a], values[b])]
        if not pairs:
            return None
        a, b = pick(rng, pairs)
        return make(rng, values[a], values[b]), (a, b)

    return entry


def _broadcast(a, b):
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return True


def _axis(rng, x):
    return None if chance(rng, 0.3) else int(rng.integers(-x.ndim, x.ndim))


def _no_grad(f, x):
    with tn.no_grad():
        return f(x)


def _detached(x):
    return x.detach() if isinstance(x, tn.Tensor) else x


def _added_in_place(a, b):
    result = a * 1.0 + 0.0 * b
    result += b
    return result


ELEMENTWISE = {
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "arctan": np.arctan,
    "exp": lambda x: np.exp(np.tanh(x)),
    "expm1": lambda x: np.expm1(np.tanh(x)),
    "log": lambda x: np.log(x * x + 0.5),
    "log1p": lambda x: np.log1p(x * x),
    "sqrt": lambda x: np.sqrt(x * x + 0.1),
    "reciprocal": lambda x: 1 / (x * x + 1),
    "square": np.square,
    "cube": lambda x: np.tanh(x) ** 3,
    "power": lambda x: (x * x + 0.5) ** 1.5,
    "root": lambda x: (x * x + 0.5) ** -0.5,
    "negative": lambda x: -x,
    "half": lambda x: x * 0.5,
    "shift": lambda x: 1 - x,
    "three": lambda x: x * 3,
    "sigmoid": tn.sigmoid,
    "softplus": tn.softplus,
    "log_sigmoid": tn.log_sigmoid,
    "silu": tn.silu,
    "gelu": tn.gelu,
    "gelu_tanh": tn.gelu_tanh,
    "relu": tn.relu,
    "leaky_relu": lambda x: tn.leaky_relu(x, negative_slope=0.2),
    "elu": tn.elu,
    "abs": np.abs,
    "sign": np.sign,
    "clip": lambda x: np.clip(x, -0.9, 1.1),
    "erf": tn.erf,
    "arcsinh": np.arcsinh,
    "nan_to_num": np.nan_to_num,
    "positive": np.positive,
    "detach": _detached,
    "no_grad": partial(_no_grad, np.tanh),
}


def _reduced(f):
    def make(rng, x):
        return partial(f, axis=_axis(rng, x), keepdims=chance(rng, 0.5))

    return make


def _some(x):
    return x.ndim > 0 and x.size > 0


def _spread(x):
    return _some(x) and min(x.shape) > 1


def _getitem(x, index):
    return x[index]


def _index(rng, x):
    """Return an index of one of many kinds."""
    n = x.shape[0]
    return pick(
        rng,
        [
            int(rng.integers(-n, n)),
            slice(None, None, -1),
            slice(0, max(1, n - 1)),
            slice(None, None, 2),
            (Ellipsis, 0),
            (None, slice(None)),
            rng.integers(-n, n, 4),
            [0, n - 1, 0],
            np.arange(n)[::-1][:, None],
            (rng.integers(0, n, 3), *[rng.integers(0, m, 3) for m in x.shape[1:]]),
        ],
    )


STRUCTURE = {
    "transpose": (lambda rng, x: np.transpose, None),
    "ravel": (lambda rng, x: np.ravel, None),
    "reshape": (lambda rng, x: lambda t: np.reshape(t, (-1, 1)), None),
    "expand_dims": (lambda rng, x: partial(np.expand_dims, axis=int(rng.integers(x.ndim + 1))), None),
    "flip": (lambda rng, x: partial(np.flip, axis=_axis(rng, x)), lambda x: x.ndim),
    "roll": (lambda rng, x: partial(np.roll, shift=int(rng.integers(-3, 4)), axis=_axis(rng, x)), _some),
    "tril": (lambda rng, x: partial(np.tril, k=int(rng.integers(-1, 2))), lambda x: x.ndim > 1),
    "pad": (lambda rng, x: partial(np.pad, pad_width=1, mode="constant"), lambda x: 0 < x.ndim < 3),
    "edges": (lambda rng, x: partial(np.pad, pad_width=1, mode="edge"), lambda x: _some(x) and x.ndim < 3),
    "repeat": (lambda rng, x: partial(np.repeat, repeats=2, axis=_axis(rng, x)), _some),
    "tile": (lambda rng, x: partial(np.tile, reps=2), lambda x: x.ndim),
    "broadcast": (lambda rng, x: partial(np.broadcast_to, shape=(2, *x.shape)), None),
    "swapaxes": (lambda rng, x: partial(np.swapaxes, axis1=0, axis2=-1), lambda x: x.ndim),
    "squeeze": (lambda rng, x: np.squeeze, None),
    "index": (lambda rng, x: partial(_getitem, index=_index(rng, x)), _some),
    "take": (lambda rng, x: partial(np.take, indices=rng.integers(0, x.shape[-1], 3), axis=-1), _some),
    "sum": (_reduced(np.sum), lambda x: x.ndim),
    "mean": (_reduced(np.mean), _some),
    "max": (_reduced(np.max), _some),
    "min": (_reduced(np.min), _some),
    "var": (_reduced(np.var), _spread),
    "std": (lambda rng, x: lambda x: np.std(x + np.arange(x.size).reshape(x.shape)), _spread),
    "prod": (lambda rng, x: lambda x: np.prod(np.tanh(x), axis=0), lambda x: x.ndim),
    "logsumexp": (_reduced(tn.logsumexp), _some),
    "cumsum": (lambda rng, x: partial(np.cumsum, axis=0), lambda x: x.ndim),
    "diff": (lambda rng, x: partial(np.diff, axis=-1), _spread),
    "norm": (lambda rng, x: lambda x: np.linalg.norm(x * x + 0.1, axis=-1), _some),
    "median": (lambda rng, x: partial(np.median, axis=_axis(rng, x)), _some),
    "sort": (lambda rng, x: partial(np.sort, axis=-1), _some),
    "softmax": (lambda rng, x: partial(tn.softmax, axis=int(rng.integers(-x.ndim, x.ndim))), _some),
    "log_softmax": (lambda rng, x: partial(tn.log_softmax, axis=int(rng.integers(-x.ndim, x.ndim))), _some),
    "gram": (lambda rng, x: lambda x: x.T @ x, lambda x: x.ndim == 2),
    "inv": (
        lambda rng, x: lambda x: np.linalg.inv(x @ x.T + 3 * np.eye(x.shape[0], dtype=np.float32)),
        lambda x: x.ndim == 2 and 0 < x.shape[0] < 5,
    ),
    "det": (
        lambda rng, x: lambda x: np.linalg.det(x @ x.T + np.eye(x.shape[0], dtype=np.float32)),
        lambda x: x.ndim == 2 and 0 < x.shape[0] < 4,
    ),
    "diagonal": (lambda rng, x: np.diagonal, lambda x: x.ndim > 1),
    "trace": (lambda rng, x: np.trace, lambda x: x.ndim == 2),
    "einsum": (lambda rng, x: lambda x: np.einsum("ij,kj->ik", x, x), lambda x: x.ndim == 2),
}


def _same_shape(a, b):
    return a.shape == b.shape and a.ndim > 0 and a.size > 0


def _columns(a, b):
    return a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1]


def _same_matrices(a, b):
    return _columns(a, b) and a.shape == b.shape


PAIRS = {
    "add": (lambda rng, a, b: np.add, _broadcast),
    "subtract": (lambda rng, a, b: np.subtract, _broadcast),
    "multiply": (lambda rng, a, b: np.multiply, _broadcast),
    "divide": (lambda rng, a, b: lambda a, b: a / (b * b + 1), _broadcast),
    "maximum": (lambda rng, a, b: np.maximum, _broadcast),
    "minimum": (lambda rng, a, b: np.minimum, _broadcast),
    "logaddexp": (lambda rng, a, b: np.logaddexp, _broadcast),
    "arctan2": (lambda rng, a, b: lambda a, b: np.arctan2(a, b * b + 0.5), _broadcast),
    "hypot": (lambda rng, a, b: lambda a, b: np.hypot(a, b * b + 0.5), _broadcast),
    "power of two": (lambda rng, a, b: lambda a, b: (a * a + 0.5) ** np.tanh(b), _broadcast),
    "in place": (lambda rng, a, b: _added_in_place, _broadcast),
    "alternating": (
        lambda rng, a, b: partial(np.where, rng.random(np.broadcast_shapes(a.shape, b.shape)) < 0.5),
        _broadcast,
    ),
    "matmul": (lambda rng, a, b: lambda a, b: a @ b.T, _columns),
    "concatenate": (lambda rng, a, b: lambda a, b: np.concatenate([a.reshape(-1), b.reshape(-1)]), None),
    "stack": (lambda rng, a, b: lambda a, b: np.stack([a, b, a]), lambda a, b: a.shape == b.shape),
    "outer": (lambda rng, a, b: np.outer, lambda a, b: a.size * b.size <= 60),
    "dot": (lambda rng, a, b: lambda a, b: np.dot(a.reshape(-1), b.reshape(-1)), _same_shape),
    "column_stack": (lambda rng, a, b: lambda a, b: np.column_stack([a, b]), _same_matrices),
    "mse": (lambda rng, a, b: losses.mse, _same_shape),
    "huber": (lambda rng, a, b: losses.huber, _same_shape),
    "mae": (lambda rng, a, b: losses.mae, _same_shape),
    "bce": (lambda rng, a, b: lambda a, b: losses.binary_cross_entropy(a, tn.sigmoid(b)), _same_shape),
    "kl": (
        lambda rng, a, b: lambda a, b: losses.kl_divergence(a, tn.softmax(b)),
        lambda a, b: _same_shape(a, b) and a.ndim == 2,
    ),
}


def _with_mask(f):
    """Return an entry for a mask and two floating operands that broadcast with it."""

    def entry(rng, values):
        masks = of_kind(values, "b")
        floats = of_kind(values, "f")
        triples = [
            (m, a, b)
            for m in masks[-4:]
            for a in floats[-6:]
            for b in floats[-6:]
            if _broadcast(values[a], values[b])
            and all(_broadcast(values[m], values[k]) for k in (a, b))
            and np.broadcast_shapes(values[m].shape, values[a].shape, values[b].shape)
        ]
        return (f, pick(rng, triples)) if triples else None

    return entry


def _mixed(f, kinds, fits=_broadcast):
    """Return an entry for a floating operand and one of another kind."""

    def entry(rng, values):
        pairs = [
            (a, b) for a in of_kind(values, "f") for b in of_kind(values, kinds) if fits(values[a], values[b])
        ]
        return (f, pick(rng, pairs)) if pairs else None

    return entry


def _compared(rng, values):
    """Compare two of the first values, which have no ties that depend on rounding."""
    places = [k for k in of_kind(values, "f") if k < 4]
    pairs = [(a, b) for a in places for b in places if a != b and _broadcast(values[a], values[b])]
    if not pairs:
        return None
    return pick(rng, [np.greater, np.less_equal, np.not_equal]), pick(rng, pairs)


def _integers(rng, values):
    pairs = [
        (a, b)
        for a in of_kind(values, "iu")
        for b in of_kind(values, "iu")
        if _broadcast(values[a], values[b])
    ]
    f = pick(rng, [np.add, np.multiply, np.maximum, np.less, np.equal, lambda a, b: a % 5 - b])
    return (f, pick(rng, pairs)) if pairs else None


def _masks(rng, values):
    pairs = [
        (a, b) for a in of_kind(values, "b") for b in of_kind(values, "b") if _broadcast(values[a], values[b])
    ]
    f = pick(rng, [np.logical_and, np.logical_or, np.logical_xor, np.not_equal, lambda a, b: ~a | b])
    return (f, pick(rng, pairs)) if pairs else None


def _rows(x, i):
    return x[i % x.shape[0]]


def _picked(x, i):
    return np.take_along_axis(x, i.reshape(-1, 1)[: x.shape[0]] % x.shape[1], axis=1)


def _labelled(f, x, i):
    return f(x, i % x.shape[1])


def _fits_labels(x, i):
    return x.ndim == 2 and x.size > 0 and i.shape == (x.shape[0],)


VOCABULARY = {name: _unary(lambda rng, x, f=f: f) for name, f in ELEMENTWISE.items()}
VOCABULARY |= {name: _unary(make, *([fits] if fits else [])) for name, (make, fits) in STRUCTURE.items()}
VOCABULARY |= {name: _binary(make, *([fits] if fits else [])) for name, (make, fits) in PAIRS.items()}
VOCABULARY |= {
    "where": _with_mask(np.where),
    "where twice": _with_mask(lambda m, a, b: np.where(m, a, 0.0) + np.where(m, 1.0, b)),
    "masked": _mixed(np.multiply, "b"),
    "times mask": _mixed(
        lambda x, m: m * x - m, "b", lambda x, m: _broadcast(x, m) and x.dtype == np.float64
    ),
    "times integers": _mixed(lambda x, i: x * (i % 3), "iu"),
    "plus integers": _mixed(lambda x, i: (i % 5) + x, "iu"),
    "rows": _mixed(_rows, "iu", lambda x, i: _some(x) and x.size // len(x) * i.size < 60),
    "along": _mixed(_picked, "iu", lambda x, i: x.ndim == 2 and x.size and i.size >= x.shape[0]),
    "cross_entropy": _mixed(partial(_labelled, losses.cross_entropy), "iu", _fits_labels),
    "smoothed": _mixed(
        partial(_labelled, partial(losses.cross_entropy, label_smoothing=0.1)), "iu", _fits_labels
    ),
    "nll": _mixed(lambda x, i: losses.nll(tn.log_softmax(x), i % x.shape[1]), "iu", _fits_labels),
    "compare": _compared,
    "integers": _integers,
    "masks": _masks,
    "argmax": lambda rng, values: (partial(np.argmax, axis=-1), (0,)) if _some(values[0]) else None,
}
