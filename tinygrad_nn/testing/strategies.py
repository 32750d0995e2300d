"""Hypothesis strategies for arrays, calls and graphs; the first one asked for imports Hypothesis."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.battery.calls import Chooser
from tinygrad_nn.testing.battery.duties import memory_layouts
from tinygrad_nn.testing.random_programs import BINARY, SHAPES, UNARY, RandomProgram, RandomStep


class _LazyModule:
    """A module of Hypothesis, imported when something of it is needed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        try:
            return getattr(importlib.import_module(self.name), attribute)
        except ImportError as error:
            raise ImportError('this check needs Hypothesis: pip install "tinygrad_nn[test]"') from error


if TYPE_CHECKING:
    import hypothesis
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
    from hypothesis.strategies import DrawFn, SearchStrategy
else:
    hypothesis = _LazyModule("hypothesis")
    st = _LazyModule("hypothesis.strategies")
    hnp = _LazyModule("hypothesis.extra.numpy")


class Entries(TypedDict, total=False):
    """What `arrays` takes besides a shape."""

    low: float
    high: float
    dtype: DTypeLike


def arrays(
    shape: int | tuple[int, ...] | SearchStrategy[tuple[int, ...]] | None = None,
    *,
    low: float = -3.0,
    high: float = 3.0,
    dtype: DTypeLike = np.float64,
) -> SearchStrategy[Array]:
    """Return a strategy for arrays with entries from `low` to `high`; of any small shape if none is given."""
    elements = hnp.from_dtype(np.dtype(dtype), min_value=low, max_value=high)
    shapes = hnp.array_shapes(min_dims=0, max_side=3) if shape is None else shape
    return hnp.arrays(np.dtype(dtype), shapes, elements=elements)


def broadcastable(count: int = 2, **options: Unpack[Entries]) -> SearchStrategy[tuple[Array, ...]]:
    """Return a strategy for tuples of arrays that broadcast with each other; options as for `arrays`."""
    shapes = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, max_side=3)
    return shapes.flatmap(lambda s: st.tuples(*[arrays(shape, **options) for shape in s.input_shapes]))


def axes(ndim: int) -> SearchStrategy[int | tuple[int, ...] | None]:
    """Return a strategy for what reductions take as axis: None, an integer of either sign, or a tuple, also ()."""
    if not ndim:
        return st.sampled_from([None, ()])
    return st.one_of(st.none(), st.integers(-ndim, ndim - 1), hnp.valid_tuple_axes(ndim))


def matmul_operands(**options: Unpack[Entries]) -> SearchStrategy[tuple[Array, ...]]:
    """Return a strategy for pairs that `np.matmul` takes, in all of its ranks."""
    shapes = hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3)
    return shapes.flatmap(lambda s: st.tuples(*[arrays(shape, **options) for shape in s.input_shapes]))


def indices(shape: tuple[int, ...]) -> SearchStrategy[Any]:
    """Return a strategy for indices of every kind that fit `shape`: basic, integer arrays, masks."""
    kinds: list[SearchStrategy[Any]] = [hnp.basic_indices(shape, allow_newaxis=True), hnp.arrays(bool, shape)]
    if shape and all(shape):
        kinds.append(hnp.integer_array_indices(shape))
    return st.one_of(*kinds)


def reshapes(shape: tuple[int, ...]) -> SearchStrategy[tuple[int, ...]]:
    """Return a strategy for shapes that an array of `shape` can be brought to, one length possibly -1."""
    size = int(np.prod(shape))
    lengths = [n for n in range(2, size) if size % n == 0]
    targets = [(size,), (-1,), (1, size), (size, 1), shape]
    targets += [(first, size // n) for n in lengths for first in (n, -1)]
    return st.sampled_from(targets)


def layouts(x: ArrayLike) -> SearchStrategy[Array]:
    """Return a strategy for arrays equal to `x` in other memory: order, strides, alignment, byte order, read-only."""
    return st.sampled_from([array for _, array in memory_layouts(np.asarray(x))])


def labels(count: int, classes: int) -> SearchStrategy[Array]:
    """Return a strategy for `count` integer labels of `classes` classes."""
    return hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1))


def graphs(max_steps: int = 12) -> SearchStrategy[RandomProgram]:
    """Return a strategy for random graphs, each as the program that computes it; `program.check()` checks one."""

    def program(draw: DrawFn) -> RandomProgram:
        shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
        inputs = tuple(draw(arrays(shape, low=-2, high=2)) for shape in shapes)
        steps: list[RandomStep] = []
        for _ in range(draw(st.integers(1, max_steps))):
            steps.append(draw(_steps(len(inputs) + len(steps))))
        return RandomProgram(inputs, tuple(steps))

    return st.composite(program)()


def _steps(values: int) -> SearchStrategy[RandomStep]:
    """Return a strategy for one step of a program that has so many values."""
    earlier, choice = st.integers(0, values - 1), st.integers(0, 5)
    return st.one_of(
        st.builds(RandomStep, st.sampled_from(list(UNARY)), st.tuples(earlier), choice),
        st.builds(RandomStep, st.sampled_from(list(BINARY)), st.tuples(earlier, earlier)),
    )


def run_examples(example: Callable[[Chooser], None], max_examples: int | None) -> int:
    """Run an example on as many choices of Hypothesis's as the profile says; return how many that is."""
    count = hypothesis.settings().max_examples if max_examples is None else max_examples
    settings = hypothesis.settings(
        max_examples=count,
        report_multiple_bugs=False,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def run(choices: tuple[int, ...]) -> None:
        left = iter(choices)
        example(lambda low, high: low + next(left, 0) % (high - low + 1))

    settings(hypothesis.given(choices=st.tuples(*[st.integers(0, 2**32 - 1)] * 4))(run))()
    return count
