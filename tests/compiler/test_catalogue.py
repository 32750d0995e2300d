"""The compiler's table of ops: what it says of each is right, and what it does not know is a decision."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.op_calls import calls_of
from tinygrad_nn import compiler
from tinygrad_nn.compiler.catalogue import CATALOGUE, Row, row_of
from tinygrad_nn.engine.tensor import apply
from tinygrad_nn.errors import LabelError
from tinygrad_nn.ops.fused_losses import minus_one_hot, nll

OPS = [op for op in CATALOGUE if not op.writes]
FEW = None if os.environ.get("CI") == "true" else 3
"""How many calls of an op are compiled: all of them in the gate."""


def rewinding(params):
    """Return a function that puts the generators among the settings back to where they are now."""
    generators = [x for x in params.values() if isinstance(x, np.random.Generator)]
    states = [generator.bit_generator.state for generator in generators]

    def rewind():
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state

    return rewind


def check_against_eager_run(op, operands, params, backend):
    def step(*xs):
        # Loops and kernels may write over what has been computed, and never over what is given.
        return apply(op, tuple(x * 1.5 if x.dtype.kind == "f" else x for x in xs), params)

    arrays = [np.asarray(x) for x in operands]
    before = [x.copy() for x in arrays]
    compiled, rewind = tn.compile(step, backend), rewinding(params)
    with np.errstate(all="ignore"):
        expected = step(*map(tn.as_tensor, arrays)).data
    for _ in range(2):
        rewind()
        np.testing.assert_allclose(compiled(*arrays).data, expected, rtol=1e-12, atol=1e-14)
    for x, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_an_op_with_a_row_gives_what_it_gives_eagerly(op):
    for operands, params in calls_of(op, np.random.default_rng(3))[:FEW]:
        # A mask as an index is refused, which tests/compiler/test_compiled.py has.
        if not row_of(op).selects or not any(np.asarray(x).dtype == bool for x in operands[1:]):
            check_against_eager_run(op, operands, params, "numpy")


@pytest.mark.parametrize(
    "op",
    [op for op in OPS if row_of(op).loop or row_of(op).loops or row_of(op).work],
    ids=lambda op: op.name,
)
def test_an_op_with_loops_gives_what_it_gives_eagerly(op):
    pytest.importorskip("numba")
    for operands, params in calls_of(op, np.random.default_rng(3))[:2]:
        check_against_eager_run(op, operands, params, "numba")


@pytest.mark.parametrize(
    "labelled",
    [
        lambda x, labels: tn.nn.losses.cross_entropy(x, labels),
        lambda x, labels: nll(x, labels).sum(),
        lambda x, labels: minus_one_hot(x * 2, labels),
        lambda x, labels: minus_one_hot(x * 2, labels + 0),
        lambda x, labels: nll(x, labels[::-1]),
        lambda x, labels: tn.nn.losses.cross_entropy(x * 2, labels + 0, reduction="none"),
    ],
)
def test_labels_given_or_computed_are_checked_on_every_call(labelled, backend):
    compiled = tn.compile(labelled, backend)
    x = np.arange(12.0).reshape(4, 3)
    for labels in ([0, 1, 2, 0], [2, 2, 2, 1]):
        expected = labelled(tn.as_tensor(x), tn.as_tensor(np.array(labels))).data
        np.testing.assert_allclose(compiled(x, np.array(labels)).data, expected, rtol=1e-12)
    for wrong in ([0, 1, 2, 3], [0, -1, 2, 0]):
        with pytest.raises(LabelError, match="outside of the 3 classes"):
            compiled(x, np.array(wrong))


def test_labels_that_the_step_holds_are_checked_on_every_call_too():
    labels = np.array([0, 1, 2, 0])
    compiled = tn.compile(lambda x: tn.nn.losses.cross_entropy(x, labels), "numpy")
    compiled(np.ones((4, 3)))
    labels[1] = 3
    with pytest.raises(LabelError, match="label 3 at position 1"):
        compiled(np.ones((4, 3)))


def test_an_op_of_a_user_has_no_row_and_is_compiled_all_the_same():
    cube = tn.kernel(lambda g, x: g * (3 * x * x), name="cube_of_this_test")(lambda x: x * x * x)
    assert row_of(cube) == Row()
    compiled = tn.compile(tn.value_and_grad(lambda x: cube(x).sum()), "numpy")
    for k in (1.0, 2.0):
        value, gradient = compiled(np.full(3, k))
        assert value.item() == 3 * k**3
        np.testing.assert_array_equal(gradient.data, 3 * k * k)


def test_calls_that_differ_in_the_middle_of_a_large_parameter_are_not_merged():
    scaled = tn.kernel(lambda g, *, table: g * table, name="scaled_of_this_test")(
        lambda x, *, table: x * table
    )
    first, second = np.ones(2000), np.ones(2000)
    second[1000] = 5
    compiled = tn.compile(lambda x: scaled(x, table=first) - scaled(x, table=second), "numpy")
    np.testing.assert_array_equal(compiled(np.ones(2000)).data, first - second)


def test_products_with_zero_and_minus_zero_are_not_merged():
    compiled = tn.compile(lambda x: (x * 0.0, x * -0.0, x * 0.0), "numpy")
    assert [np.signbit(t.data[0]) for t in compiled(np.ones(1))] == [False, True, False]
    assert compiled.programs[0].text.count("multiply") == 2


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, ">i8"])
def test_labels_of_every_integer_dtype_are_taken(dtype, backend):
    compiled = tn.compile(lambda x, labels: tn.nn.losses.cross_entropy(x, labels), backend)
    np.testing.assert_allclose(compiled(np.ones((4, 3)), np.array([0, 1, 2, 0], dtype)).data, np.log(3))


def updates_in_loops_and_with_numpy():
    """Return parameters of which one is not for loops, and a step that updates all of them twice."""
    parameters = [tn.tensor(np.ones(3, dtype), requires_grad=True) for dtype in ("f8", "f2", "f8")]
    optimizer = tn.optim.SGD(parameters, lr=lambda count: 1 / (1 + count))

    def step(x):
        optimizer.zero_grad()
        for w in parameters:
            (w * x).sum().backward()
        optimizer.step()
        optimizer.step()

    return parameters, step


def test_each_of_several_updates_sees_its_own_rate_whatever_does_it(backend):
    (eager, step), (replayed, other) = updates_in_loops_and_with_numpy(), updates_in_loops_and_with_numpy()
    compiled = tn.compile(other, backend)
    for _ in range(3):
        step(np.ones(3))
        compiled(np.ones(3))
        for a, b in zip(eager, replayed, strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-3 if a.dtype == np.float16 else 1e-12)


# What the table leaves to the general way, and that nothing else in the compiler knows ops

WITHOUT_A_ROW = """
adagrad_update add_along_axis all angle any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax
argmin argsort array_equal bessel_i binary_cross_entropy_elements bitwise_and bitwise_count bitwise_or
bitwise_xor both cbrt ceil cholesky cofactor_change cofactors conjugate convolve copysign cos cosh
count_nonzero cumlogsumexp cumprod cumsum deg2rad degrees det diagonal digamma einsum empty_like erf erfc
erfcx erfinv euclidean_norm exp2 fabs first_largest flip float_power floor floor_divide fmax fmin fmod
gammaln gcd gelu_exact get_written gru_gates heaviside huber_elements hypot i0 i1 imag in_place_update
in_unit_squares inv invert isclose isfinite isinf isnan isneginf isposinf lcm ldexp left_shift
lion_update log log10 log1p log2 log_ndtr log_sigmoid log_softmax logaddexp logaddexp2 logical_not
logical_xor logit logsumexp lstm_gates nan_to_num ndtr on_diagonal one_hot ones_like over_differences
overlap_add p_norm pack_gradients pad part pinv places_of_maxima places_of_minima polygamma prod q_and_r
rad2deg radians recurrence remainder resampled_axis right_shift rint rmsprop_update roll round scale_down
searchsorted set_at set_divisor set_rows sign sign_and_log_det signbit sin sinc_derivative
sine_over_angle singular_values_and_vectors sinh sliding_window_view softplus solve spacing spread_axis
stack std sum_over_ranks take take_along_axis taken_at tan tril triu trunc unpack_gradient used
values_and_vectors var vecdot xlogy zeros_like
"""


def test_every_op_without_a_row_is_a_decision():
    code = (
        "import tinygrad_nn\n"
        "from tinygrad_nn.compiler.catalogue import CATALOGUE\n"
        "from tinygrad_nn.primitives.primitive import Primitive\n"
        "from tinygrad_nn.primitives.record import REGISTRY\n"
        "ops = {op for op in REGISTRY.values() if isinstance(op, Primitive)}\n"
        "print(*sorted(op.name for op in ops - CATALOGUE.keys()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == WITHOUT_A_ROW.split()


def names_of_ops(node):
    """Yield where the name of an op is looked at: op.name, call.op.name, value.op.name."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and inner.attr == "name":
            owner = inner.value
            if getattr(owner, "attr", getattr(owner, "id", None)) == "op":
                yield inner


@pytest.mark.parametrize(
    "path", sorted(Path(compiler.__file__).parent.glob("*.py")), ids=lambda path: path.stem
)
def test_no_file_of_the_compiler_asks_an_op_for_its_name_or_finds_it_by_name(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.Subscript | ast.Set | ast.Match):
            assert not list(names_of_ops(node)), f"line {node.lineno} asks which op it is by name"
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "REGISTRY":
            assert not isinstance(node.slice, ast.Constant), f"line {node.lineno} finds an op by name"
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("get", "setdefault", "pop"):
            assert not list(names_of_ops(node)), f"line {node.lineno} looks an op up by name"
