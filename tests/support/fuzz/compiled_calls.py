"""Random programs, compiled once and called with other values of every input, beside the eager run of each call."""

import copy

import numpy as np

import tinygrad_nn as tn
from tests.support.fuzz.cases import chance, pick
from tests.support.fuzz.compositions import ALL
from tests.support.fuzz.programs import draw, total
from tinygrad_nn.nn import losses
from tinygrad_nn.primitives import REGISTRY

CALLS = 20
CLASSES = 3
ROWS = 4

LEFT_OUT = {
    "tn.keep_mask": "draws from a generator of each call, which no replay can know",
    "tn.dropout": "draws from a generator of each call, which no replay can know",
    "sign": "has steps, over which an ulp more or less may lead",
    **dict.fromkeys(
        (f"tn.{record.name}" for record in REGISTRY.values() if getattr(record, "zero_gradient", False)),
        "has steps, over which an ulp more or less may lead, or is constant",
    ),
}
WORDS = {name: entry for name, entry in ALL.items() if name not in LEFT_OUT}


class Arguments:
    """What the program is called with: arrays of all kinds, anew for each call."""

    def __init__(self, rng):
        self.dtype = pick(rng, (np.float64, np.float64, np.float32))
        self.integers = pick(rng, (np.int64, np.int32, np.uint8))
        self.side = pick(rng, ((3,), (4, 1), (), (1, 3), (4, 3), (0, 3)))
        self.mask = pick(rng, ((4, 3), (4, 1), (3,), ()))
        self.scalar = pick(rng, (np.float64, np.float32, np.int64, np.bool_))
        self.layout = pick(rng, ("plain", "plain", "strided", "transposed"))

    def draw(self, rng):
        """Return the values of one call."""
        x = rng.normal(size=(ROWS, CLASSES)).astype(self.dtype)
        if self.layout == "strided":
            x = np.repeat(x, 2, axis=0)[::2]
        elif self.layout == "transposed":
            x = x.T.copy().T
        return [
            x,
            np.asarray(rng.normal(size=self.side)).astype(self.dtype),
            rng.integers(0, CLASSES, ROWS).astype(self.integers),
            rng.integers(0, 60, pick(rng, [(5,)])).astype(np.int64),
            np.asarray(rng.random(self.mask) < 0.5),
            self.scalar(rng.integers(-3, 4)),
        ]


def case(rng, backend=None):
    """Compile one program and call it; return how many calls were compared."""
    backend = backend or ("numba" if chance(rng, 0.01) else "numpy")
    arguments = Arguments(rng)
    dtype = arguments.dtype
    w = tn.tensor(rng.normal(size=(ROWS, CLASSES)).astype(dtype), requires_grad=True, name="w")
    b = tn.tensor(rng.normal(size=(CLASSES,)).astype(dtype), requires_grad=True, name="b")
    constants = [
        rng.normal(size=(ROWS, CLASSES)).astype(dtype),
        rng.integers(0, 5, (CLASSES,)),
        rng.random((ROWS, 1)) < 0.5,
        tn.tensor(rng.normal(size=(1, CLASSES)).astype(dtype)),
        np.asarray(1.5),
    ]

    def values_of(inputs):
        *arrays, scalar = inputs
        first = arrays[0] + w * b
        second = first * scalar - constants[0]
        third = np.where(constants[2], second * constants[3], first * constants[1]) - constants[4]
        return [first, second, third, arrays[1] * constants[3], w, b, *arrays]

    with np.errstate(all="ignore"):
        examples = values_of([tn.tensor(x) for x in arguments.draw(rng)])
        program = draw(rng, examples, rng.integers(1, 9), WORDS)
        count = len(examples) + len(program.steps)
        returned = sorted({int(k) for k in rng.integers(0, count, 2)})
        flags = pick(rng, ((True,), (True,), (True, 2.5, None)))
        accumulate, backward, labelled = chance(rng, 0.3), chance(rng, 0.8), chance(rng, 0.5)

        def step(x, y, labels, indices, mask, scalar, flag=True):
            values = program.run(values_of([x, y, labels, indices, mask, scalar]))
            loss = total(values)
            if labelled:
                loss = loss + losses.cross_entropy(values[0], labels)
            if not accumulate:
                w.grad = b.grad = None
            if backward:
                loss.backward()
            return loss, {"chosen": [values[k] for k in returned]}, flag

        compiled = tn.compile(step, backend)
        problem = ""
        earlier = []
        for k in range(CALLS):
            _change(rng, constants, [w, b])
            inputs, flag = arguments.draw(rng), pick(rng, flags)
            found = [_copy(leaf.grad) for leaf in (w, b)]
            expected = step(*[tn.tensor(x) for x in inputs], flag=flag)
            gradients = [_copy(leaf.grad) for leaf in (w, b)]
            w.grad, b.grad = [_copy(g) for g in found]
            before = copy.deepcopy(inputs)
            got = compiled(*inputs, flag=flag)
            tolerance = (
                1e-9 if dtype is np.float64 and backend == "numpy" else 1e-6 if dtype is np.float64 else 2e-3
            )
            problem = (
                _different("result", got, expected, tolerance)
                or _different("gradients", [w.grad, b.grad], gradients, tolerance)
                or _different("an argument afterwards", inputs, before, 0)
                or next((p for x, y in earlier if (p := _different("an earlier result", x, y, 0))), "")
            )
            assert not problem, (
                f"call {k}, {backend}, {dtype.__name__}, {vars(arguments)}: {problem}\n{program}"
            )
            earlier = [*earlier[-2:], (got, copy.deepcopy(_arrays(got)))]
            w.grad, b.grad = gradients
    return {f"calls with {backend}": CALLS}


def _copy(x):
    return None if x is None else x.copy()


def _change(rng, constants, leaves):
    """Change what is used by reference, in place."""
    for x in [*constants, *leaves]:
        if chance(rng, 0.5):
            array = x if isinstance(x, np.ndarray) else x.data
            new = rng.random(array.shape) < 0.5 if array.dtype == bool else rng.normal(size=array.shape) * 2
            array[...] = new.astype(array.dtype)


def _arrays(x):
    """Return everything in a result, flat, with arrays in place of tensors."""
    if isinstance(x, (tuple, list)):
        return [y for item in x for y in _arrays(item)]
    if isinstance(x, dict):
        return [y for key, item in x.items() for y in [key, *_arrays(item)]]
    return [x.data if isinstance(x, tn.Tensor) else x]


def _different(what, got, expected, tolerance):
    """Say how what came out differs from what had to."""
    ours, theirs = _arrays(got), _arrays(expected)
    if len(ours) != len(theirs):
        return f"{what}: {len(ours)} parts, expected {len(theirs)}"
    for k, (a, e) in enumerate(zip(ours, theirs, strict=True)):
        if not isinstance(e, (np.ndarray, np.generic)):
            if type(a) is not type(e) or a != e:
                return f"{what}, part {k}: {a!r}, expected {e!r}"
        elif (a.shape, a.dtype) != (e.shape, e.dtype):
            return f"{what}, part {k}: {a.dtype} {a.shape}, expected {e.dtype} {e.shape}"
        elif e.dtype.kind != "f":
            if not np.array_equal(a, e):
                return f"{what}, part {k}: {a!r}, expected {e!r}"
        else:
            size = np.abs(e[np.isfinite(e)]).max(initial=1.0)
            if not np.allclose(a, e, rtol=0, atol=tolerance * size, equal_nan=True):
                return f"{what}, part {k}: {a!r}, expected {e!r}, differing by {np.nanmax(np.abs(a - e)):.2g}"
    return ""
