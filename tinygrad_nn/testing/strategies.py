"""Hypothesis strategies for arrays, calls and graphs; the first one asked for imports Hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_nn.testing.battery.calls import Integer
from tinygrad_nn.testing.random_programs import BINARY, SHAPES, UNARY, Program, Step

Example = Callable[[Integer], None]


def hypothesis() -> ModuleType:
    """Return Hypothesis; without it the error says how to install it."""
    try:
        import hypothesis
    except ImportError as error:
        raise ImportError('this check needs Hypothesis: pip install "tinygrad_nn[test]"') from error
    return hypothesis


def _modules() -> tuple[Any, Any]:
    hypothesis()
    from hypothesis import strategies
    from hypothesis.extra import numpy

    return strategies, numpy


def arrays(shape: Any = None, *, low: float = -3.0, high: float = 3.0, dtype: Any = np.float64) -> Any:
    """Return a strategy for arrays with entries from `low` to `high`; of any small shape if none is given."""
    st, hnp = _modules()
    width = 8 * np.dtype(dtype).itemsize
    elements = st.floats(low, high, width=width)
    return hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_side=3) if shape is None else shape, elements=elements
    )


def broadcastable(count: int = 2, **options: Any) -> Any:
    """Return a strategy for tuples of arrays that broadcast with each other; options as for `arrays`."""
    st, hnp = _modules()
    shapes = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, max_side=3)
    return shapes.flatmap(lambda s: st.tuples(*[arrays(shape, **options) for shape in s.input_shapes]))


def axes(ndim: int) -> Any:
    """Return a strategy for what reductions take as axis: None, an integer of either sign, or a tuple, also ()."""
    st, hnp = _modules()
    if not ndim:
        return st.sampled_from([None, ()])
    return st.one_of(st.none(), st.integers(-ndim, ndim - 1), hnp.valid_tuple_axes(ndim))


def matmul_operands(**options: Any) -> Any:
    """Return a strategy for pairs that `np.matmul` takes, in all of its ranks."""
    st, hnp = _modules()
    shapes = hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3)
    return shapes.flatmap(lambda s: st.tuples(*[arrays(shape, **options) for shape in s.input_shapes]))


def indices(shape: tuple[int, ...]) -> Any:
    """Return a strategy for indices of every kind that fit `shape`: basic, integer arrays, masks."""
    st, hnp = _modules()
    kinds = [hnp.basic_indices(shape, allow_newaxis=True), hnp.arrays(bool, shape)]
    if shape and all(shape):
        kinds.append(hnp.integer_array_indices(shape))
    return st.one_of(*kinds)


def reshapes(shape: tuple[int, ...]) -> Any:
    """Return a strategy for shapes that an array of `shape` can be brought to, one length possibly -1."""
    st, _ = _modules()
    size = int(np.prod(shape))
    targets: list[tuple[int, ...]] = [(size,), (-1,), (1, size), (size, 1), shape]
    targets += [(n, size // n) for n in range(2, size) if size % n == 0]
    targets += [(-1, size // n) for n in range(2, size) if size % n == 0]
    return st.sampled_from(targets)


def layouts(x: Any) -> Any:
    """Return a strategy for arrays equal to `x` in other memory: order, strides, alignment, byte order, read-only."""
    from tinygrad_nn.testing.battery.duties import memory_layouts

    st, _ = _modules()
    return st.sampled_from([array for _, array in memory_layouts(np.asarray(x))])


def labels(count: int, classes: int) -> Any:
    """Return a strategy for `count` integer labels of `classes` classes."""
    st, hnp = _modules()
    return hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1))


def steps(known: int) -> Any:
    """Return a strategy for one step of a program that knows so many values."""
    st, _ = _modules()
    earlier, choice = st.integers(0, known - 1), st.integers(0, 5)
    return st.one_of(
        st.builds(Step, st.sampled_from(list(UNARY)), st.tuples(earlier), choice),
        st.builds(Step, st.sampled_from(list(BINARY)), st.tuples(earlier, earlier)),
    )


def graphs(max_steps: int = 12) -> Any:
    """Return a strategy for whole random computations; `program.check()` checks one."""
    st, _ = _modules()

    def program(draw: Any) -> Program:
        shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
        inputs = tuple(draw(arrays(shape, low=-2, high=2)) for shape in shapes)
        made: list[Step] = []
        for _ in range(draw(st.integers(1, max_steps))):
            made.append(draw(steps(len(inputs) + len(made))))
        return Program(inputs, tuple(made))

    return st.composite(program)()


def run_examples(example: Example, max_examples: int | None) -> int:
    """Run an example on as many choices of Hypothesis's as the profile says; return how many that is."""
    h = hypothesis()
    st, _ = _modules()
    count: int = h.settings.default.max_examples if max_examples is None else max_examples
    settings = h.settings(
        max_examples=count,
        report_multiple_bugs=False,
        deadline=None,
        database=None,
        phases=[h.Phase.generate, h.Phase.shrink],
        suppress_health_check=list(h.HealthCheck),
    )

    def run(choices: tuple[int, ...]) -> None:
        left = iter(choices)
        example(lambda low, high: low + next(left, 0) % (high - low + 1))

    settings(h.given(choices=st.tuples(*[st.integers(0, 2**32 - 1)] * 4))(run))()
    return count
