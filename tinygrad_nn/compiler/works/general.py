"""Ops that have compiled loops of their own: what `loops=` in the catalogue names.

Each function here is told one call and the values that it fills, and returns what writes the lines that do it; or
None, where that is better left to NumPy. The lines see arrays as flat and contiguous, with sizes written out as
numbers, so that LLVM can unroll.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from tinygrad_nn.compiler.draft import Divided, Draft, LoopNames, Loops, Work, is_flat
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.primitives import Shape

BuildLoops = Callable[[Draft, Call, tuple[int, ...]], Loops | None]
BuildWork = Callable[[Draft, Call, tuple[int, ...]], Work | None]
BuildDivided = Callable[[Draft, Call, int], Divided | None]


def first_of(*builds: BuildWork) -> BuildWork:
    """Return what takes the first work that fits a call."""

    def build(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
        found = (build(draft, call, makes) for build in builds)
        return next((work for work in found if work is not None), None)

    return build


KINDS = {"float32": "f4", "float64": "f8"}
"""The dtypes that loops compute in, and how their text calls them."""


def are_alike(draft: Draft, arrays: Iterable[int], others: Collection[int] = ()) -> bool:
    """Tell whether all arrays are flat, and all but some others of one dtype that loops compute in."""
    arrays = tuple(arrays)
    dtypes = {draft.values[k].dtype.name for k in arrays if k not in others}
    return len(dtypes) == 1 and dtypes <= KINDS.keys() and all(is_flat(draft, k) for k in arrays)


def filled_up(sizes: Shape, axes: int, by: int = 1) -> Shape:
    """Return a size for each of so many axes, where those that are missing come first."""
    return (by,) * (axes - len(sizes)) + sizes


_UNROLLED = 64
_SMALL = 8192


def small_product(draft: Draft, call: Call, makes: tuple[int, ...]) -> Loops | None:
    """Multiply matrices that are so small that calling BLAS costs more than computing."""
    arrays = (*draft.operands(call), *makes)
    a, b, c = (draft.values[i] for i in arrays)
    if (
        len(a.shape) != 2
        or len(b.shape) != 2
        or c.dtype.name not in KINDS
        or not a.dtype == b.dtype == c.dtype
    ):
        return None
    (m, k), n = a.shape, b.shape[1]
    tall = k * n <= _UNROLLED and m >= k
    if not (tall or m * n <= _UNROLLED) or not 0 < m * k * n <= _SMALL:
        return None
    a_strides, b_strides = (_strides(draft, i) for i in arrays[:2])
    if a_strides is None or b_strides is None:
        return None
    function, numbers = "product_by_rows" if tall else "product_by_terms", (m, k, n, *a_strides, *b_strides)

    def loops(names: LoopNames) -> list[str]:
        texts = [*(names.array(draft.root(i)) for i in arrays), *map(str, numbers)]
        return [f"{function}({', '.join(texts)})"]

    return loops


def _strides(draft: Draft, index: int) -> tuple[int, int] | None:
    """Return the strides of a matrix in the flat array of its root, in elements."""
    root = draft.root(index)
    array, whole = draft.layouts.get(index), draft.layouts.get(root)
    if array is None or whole is None or not is_flat(draft, root) or array.ctypes.data != whole.ctypes.data:
        return None
    if array.dtype != whole.dtype or min(array.strides) < 0:
        return None
    return array.strides[0] // array.itemsize, array.strides[1] // array.itemsize


def cross_entropy(draft: Draft, call: Call, makes: tuple[int, ...]) -> Loops | None:
    """Compute the loss and the gradient of the sum of all rows' losses."""
    reads = draft.operands(call)
    logits = draft.values[reads[0]]
    if logits.dtype.name not in KINDS or not logits.shape[0] or not all(is_flat(draft, k) for k in reads):
        return None
    mean = {"mean": 1, "sum": 0, "none": -1}[call.params.get("reduction", "mean")]
    (rows, classes), width = logits.shape, logits.dtype.itemsize

    def loops(names: LoopNames) -> list[str]:
        arrays = ", ".join(names.array(k) for k in (*reads, *makes))
        return [f"cross_entropy{width}({arrays}, {rows}, {classes}, {mean})"]

    return loops


_COPIED = 1 << 16
"""Joining more elements takes so long that it does not matter who does it."""


def concatenate(draft: Draft, call: Call, makes: tuple[int, ...]) -> Loops | None:
    """Copy a few elements to where they belong."""
    reads, values = draft.operands(call), draft.values_of(call)
    if call.params.keys() - {"axis"} or not are_alike(draft, (*reads, *makes)):
        return None
    axis, size = call.params.get("axis", 0), math.prod(call.shape)
    if axis is None or not 0 < size <= _COPIED:
        return None
    count = math.prod(call.shape[: axis % len(call.shape)])

    def loops(names: LoopNames) -> list[str]:
        whole, lines, start = size // count, [], 0
        for x in values:
            width = math.prod(x.shape) // count
            if width:
                copy = f"{names.array(makes[0])}[i * {whole} + {start} + j] = {names.array(x.index)}[i * {width} + j]"
                lines += [f"for i in range({count}):", f"    for j in range({width}):", f"        {copy}"]
            start += width
        return lines

    return loops


def _updatable(draft: Draft, call: Call) -> bool:
    """Tell whether parameter, gradient and state of an update are alike."""
    reads = draft.operands(call)
    return are_alike(draft, reads, reads[3:]) and len({x.shape for x in draft.values_of(call)[:3]}) == 1


@dataclass(slots=True, frozen=True)
class Update:
    """Loops that are one call of a compiled function; several in a row that differ in `arrays` become one loop.

    Attributes:
        function: what the loops call.
        arrays: the values that it is given first, of one shape.
        shared: the values that come after these.
        numbers: what comes last.
    """

    function: str
    arrays: tuple[int, ...]
    shared: tuple[int, ...]
    numbers: tuple[float, ...]

    def __call__(self, names: LoopNames) -> list[str]:
        return [self.text(names, map(names.array, self.arrays))]

    def text(self, names: LoopNames, arrays: Iterable[str]) -> str:
        """Return the call with these texts for the arrays that come first."""
        others = [*map(names.array, self.shared), *map(names.number, self.numbers)]
        return f"{self.function}({', '.join([*arrays, *others])})"


def sgd(draft: Draft, call: Call, _makes: tuple[int, ...]) -> Loops | None:
    """Update with or without momentum."""
    if not _updatable(draft, call):
        return None
    params = call.params
    momentum, decay = float(params.get("momentum", 0)), float(params.get("weight_decay", 0))
    w, g, velocity, _, rate = draft.operands(call)
    if not momentum and not decay:
        return Update("sgd_plain", (w, g), (rate,), ())
    return Update("sgd", (w, g, velocity), (rate,), (momentum, bool(params.get("nesterov", False)), decay))


def adam(draft: Draft, call: Call, _makes: tuple[int, ...]) -> Loops | None:
    """Update with running means of the gradient and of its square."""
    if not _updatable(draft, call):
        return None
    params = call.params
    settings = (*params["betas"], params["eps"], float(params.get("weight_decay", 0)))
    w, g, first, second, _, rate, count = draft.operands(call)
    numbers = (*settings, bool(params.get("decoupled", False)))
    return Update("adam", (w, g, first, second), (rate, count), numbers)
