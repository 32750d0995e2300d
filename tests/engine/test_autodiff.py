"""Derivatives as functions: gradients, grad, vjp, jvp, jacobian, hessian at their edges, and what they refuse."""

import functools
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn.errors import ArgumentError, DtypeError, GraphError, GraphFreed, ShapeError

X = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize("x", [np.ones(2), 1.0, tn.tensor([1.0]), {1.0}])
def test_gradients_are_found_for_tensors_that_require_grad_only(x):
    w = vector(1.0)
    y = (w * w).sum()
    with pytest.raises(GraphError, match="every x is a tensor that requires grad\n  hint   tn.tensor"):
        tn.gradients(y, [w, x])
    assert tn.gradients(y, w).item() == 2, "the refused call has released the graph"


def test_gradients_come_in_the_form_of_xs_with_zeros_for_what_does_not_matter():
    a, b = vector(1.0, 2.0), vector(3.0)
    y = (a * a).sum()
    first, second = tn.gradients(y, (a, b), retain_graph=True)
    np.testing.assert_array_equal(first.data, [2, 4])
    np.testing.assert_array_equal(second.data, [0])
    assert isinstance(tn.gradients(y, [a]), list)
    assert a.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_of_a_leaf_with_respect_to_itself_is_the_cotangent(create_graph):
    x = vector(1.0, 2.0)
    seed = np.array([3.0, 4.0])
    g = tn.gradients(x, x, cotangent=seed, create_graph=create_graph)
    np.testing.assert_array_equal(g.data, seed)


@pytest.mark.parametrize(
    "call", [tn.grad(np.sum), lambda x: tn.vjp(np.exp, x), lambda x: tn.jvp(np.exp, x, x)]
)
@pytest.mark.parametrize("x", [2, np.arange(3), True])
def test_arguments_of_derivatives_are_floating(call, x):
    with pytest.raises(DtypeError, match=r"derivatives need floating arguments, got dtype \w+\n  hint   2.0"):
        call(x)


def test_a_function_that_leaves_the_tensors_is_refused():
    with pytest.raises(GraphError, match="grad: the function returned float, expected a Tensor"):
        tn.grad(lambda x: 3.0)(1.0)
    with pytest.raises(GraphError, match="vjp: the function returned ndarray"):
        tn.vjp(lambda x: x.data, X)


def test_grad_is_for_scalars_and_names_jacobian():
    with pytest.raises(ShapeError, match=r"returned shape \(3,\), expected a scalar\n  hint   tn.jacobian"):
        tn.grad(lambda x: x * 2)(X)
    np.testing.assert_array_equal(tn.grad(lambda x: x.sum(keepdims=True))(X).data, np.ones(3))


@pytest.mark.parametrize("argnums", [2, -3, (0, 5)])
def test_argnums_are_positional_arguments(argnums):
    with pytest.raises(ValueError, match=r"argnums -?\d is outside of the 2 positional arguments"):
        tn.grad(lambda x, y: x * y, argnums)(1.0, 2.0)


@pytest.mark.parametrize("argnums", [(0, 0), (0, -2), (1, 0, -1)])
def test_an_argument_that_is_chosen_twice_is_refused(argnums):
    with pytest.raises(ValueError, match=r"argnums \(.*\) names one of the 2 positional arguments twice"):
        tn.grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_a_derivative_in_the_direction_of_no_argument_is_refused():
    with pytest.raises(TypeError, match=r"jvp: there are no arguments"):
        tn.jvp(lambda: tn.tensor(1.0), (), ())


def test_argnums_choose_arguments_from_either_end():
    f = lambda x, y, *, scale=1.0: x * y * scale
    assert tn.grad(f)(2.0, 3.0).item() == 3
    assert tn.grad(f, -1)(2.0, 3.0, scale=10.0).item() == 20
    # The first argument, counted from the end.
    assert tn.grad(f, -2)(2.0, 3.0).item() == 3
    assert [g.item() for g in tn.grad(f, (-2, -1))(2.0, 3.0)] == [3, 2]
    assert tn.jacobian(f, -2)(2.0, 3.0).item() == 3
    assert [g.item() for g in tn.grad(f, (1, 0))(2.0, 3.0)] == [2, 3]
    (alone,) = tn.grad(f, (0,))(2.0, 3.0)
    assert alone.item() == 3


def test_jvp_wants_one_direction_of_the_same_shape_for_each_argument():
    with pytest.raises(ShapeError, match="jvp: 2 arguments but 1 directions"):
        tn.jvp(np.multiply, (X, X), X)
    with pytest.raises(ShapeError, match=r"argument 1 has shape \(3,\), its direction has shape \(2,\)"):
        tn.jvp(np.multiply, (X, X), (X, X[:2]))


def test_jvp_of_several_arguments_adds_their_parts():
    v, w = np.array([1.0, 0.0, 2.0]), np.array([0.5, 1.0, 0.0])
    y, dy = tn.jvp(np.multiply, (X, X + 1), (v, w))
    np.testing.assert_array_equal(y.data, X * (X + 1))
    np.testing.assert_allclose(dy.data, v * (X + 1) + X * w, rtol=1e-15)


@pytest.mark.parametrize("f", [lambda x: tn.tensor(np.full(2, 7.0)), lambda x: x.detach()[:2]])
def test_what_does_not_depend_on_its_argument_has_derivative_zero(f):
    value, slope = tn.jvp(f, X, X)
    assert value.shape == slope.shape == (2,)
    assert not slope.data.any()
    np.testing.assert_array_equal(tn.jacobian(f)(X).data, np.zeros((2, 3)))
    np.testing.assert_array_equal(tn.vjp(f, X)[1](np.ones(2)).data, np.zeros(3))
    np.testing.assert_array_equal(tn.grad(lambda x: f(x).sum())(X).data, np.zeros(3))


@pytest.mark.parametrize(("result", "argument"), [((0,), (3,)), ((3,), (0,)), ((2, 0), (4, 0))])
def test_jacobians_of_empty_arrays_are_empty_arrays(result, argument):
    x = np.ones(argument, np.float32)
    J = tn.jacobian(lambda x: np.zeros(result, np.float32) * x.sum())(x)
    assert J.shape == result + argument
    assert J.dtype == np.float32


def test_the_identity_has_the_unit_jacobian_and_no_curvature():
    np.testing.assert_array_equal(tn.jacobian(lambda x: x)(X).data, np.eye(3))
    np.testing.assert_array_equal(tn.hessian(lambda x: x.sum())(X).data, np.zeros((3, 3)))
    np.testing.assert_array_equal(tn.jvp(lambda x: x, X, X + 1)[1].data, X + 1)


def test_jacobian_and_hessian_with_respect_to_another_argument():
    W = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(tn.jacobian(lambda W, x: W @ x, argnums=1)(W, X).data, W)
    H = tn.hessian(lambda a, x: a * (x**3).sum(), argnums=1)(2.0, X)
    np.testing.assert_allclose(H.data, np.diag(12 * X))


def test_derivatives_nest_in_every_order():
    cube = lambda x: (x**3).sum()
    along = lambda x: tn.jvp(cube, x, np.ones(3))[1]
    np.testing.assert_allclose(tn.grad(along)(X).data, 6 * X)
    np.testing.assert_allclose(tn.jvp(tn.grad(cube), X, X)[1].data, 6 * X * X)
    np.testing.assert_allclose(tn.grad(lambda x: tn.vjp(cube, x)[1](1.0).sum())(X).data, 6 * X)
    np.testing.assert_allclose(tn.jacobian(tn.jacobian(cube))(X).data, np.diag(6 * X))


def test_a_derivative_is_itself_differentiable_by_what_the_function_closes_over():
    w = vector(2.0)
    slope = tn.grad(lambda x: (w * x * x).sum())(np.array([3.0]))
    assert slope.item() == 12
    assert tn.gradients(slope, w, cotangent=np.ones(1)).item() == 6
    assert w.grad is None


def test_a_cotangent_that_requires_grad_links_the_result_of_a_pull():
    _, pull = tn.vjp(lambda x: x * x, X)
    seed = vector(1.0, 1.0, 1.0)
    np.testing.assert_array_equal(tn.gradients(pull(seed).sum(), seed).data, 2 * X)


def test_derivatives_are_taken_inside_no_grad_too():
    with tn.no_grad():
        assert tn.grad(lambda x: x * x)(3.0).item() == 6


def test_gradients_of_a_released_graph_are_refused_and_not_partial():
    x = vector(2.0)
    y = x**2
    tn.gradients(y, x)
    with pytest.raises(GraphFreed):
        tn.gradients(y, x)
    h = x * x
    h.sum().backward()
    with pytest.raises(GraphFreed):
        tn.gradients(h * x, x)
    assert np.array_equal(tn.gradients((h * 3).sum(), h).data, [3])


def test_gradients_of_what_is_no_tensor_are_refused_and_of_a_constant_are_zero():
    with pytest.raises(GraphError, match="y is float, expected a tensor"):
        tn.gradients(2.0, vector(1.0))
    assert tn.gradients(tn.tensor(1.0), vector(1.0)).data == 0


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_cotangent_of_another_shape_is_refused_in_both_modes(create_graph):
    x = vector(1.0, 2.0, 3.0)
    with pytest.raises(ShapeError):
        tn.gradients(x * x, x, cotangent=tn.tensor(np.ones((2, 3))), create_graph=create_graph)


def test_vjp_is_not_changed_by_later_writes_of_its_caller():
    x = np.array([1.0, 2.0])
    _, pull = tn.vjp(lambda t: t * t, x)
    x += 10
    assert np.array_equal(pull(np.ones(2)).data, [2, 4])


class Named(NamedTuple):
    w: Any
    b: Any


class Pile(list):
    pass


def test_gradients_come_in_the_containers_that_the_tensors_were_in():
    w, b = (tn.tensor(x, requires_grad=True) for x in (2.0, 3.0))
    y = w * w * b
    found = tn.gradients(y, {"w": w, "rest": [b, (w, Named(w, b))]}, retain_graph=True)
    assert found["w"].item() == 12
    assert [found["rest"][0].item(), found["rest"][1][0].item()] == [4, 12]
    assert isinstance(found["rest"][1][1], Named)
    pile = tn.gradients(y, Pile([b, w]), retain_graph=True)
    assert type(pile) is Pile
    assert [g.item() for g in pile] == [4, 12]
    with pytest.raises(GraphError, match="every x is a tensor"):
        tn.gradients(y, OrderedDict(w=w))


@pytest.mark.parametrize("who", ["grad", "value_and_grad", "jacobian", "hessian"])
def test_a_loss_in_place_of_a_function_is_refused_at_once_with_the_line_to_write(who):
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    differentiate = getattr(tn, who)
    hint = rf"^{who}: expected a function, got a Tensor\n  hint   tn\.gradients\(loss, parameters\)"
    for arguments in ((loss,), (loss, [w]), (loss, w), (w,)):
        with pytest.raises(ArgumentError, match=hint):
            differentiate(*arguments)
    with pytest.raises(ArgumentError, match=rf"^{who}: expected a function, got a list$"):
        differentiate([loss])
    for argnums in ([0, 1], w, 0.5, True, "x", None):
        with pytest.raises(
            ArgumentError, match=rf"^{who}: argnums are integers, got .*\n  hint   {who}\(f\)"
        ):
            differentiate(lambda x: x.sum(), argnums)


def test_vjp_and_jvp_refuse_a_loss_in_place_of_a_function():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(
        ArgumentError, match=r"^vjp: expected a function, got a Tensor\n  hint   tn\.gradients"
    ):
        tn.vjp((w * w).sum(), w)
    with pytest.raises(
        ArgumentError, match=r"^jvp: expected a function, got a Tensor\n  hint   tn\.gradients"
    ):
        tn.jvp((w * w).sum(), w, w)


def test_functions_of_every_kind_are_differentiated():
    model = tn.nn.Dense(2, 1, rng=0)
    x = np.ones(2, np.float32)
    assert tn.grad(model)(x).shape == (2,)
    assert tn.grad(functools.partial(np.multiply, 3.0))(2.0).item() == 3
    assert tn.grad(lambda x, y: x * y, np.int64(1))(2.0, 5.0).item() == 2


@pytest.mark.parametrize(
    "f",
    [np.linalg.eigvalsh, np.linalg.svdvals, np.linalg.pinv, lambda t: np.linalg.qr(t)[1], np.linalg.inv],
    ids=["eigvalsh", "svdvals", "pinv", "qr", "inv"],
)
def test_jvp_of_what_is_made_of_a_matrix_is_its_difference(f):
    x, v, h = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[0.3, -1.0], [-1.0, 0.7]]), 1e-6
    expected = (f(x + h * v) - f(x - h * v)) / (2 * h)
    np.testing.assert_allclose(tn.jvp(f, x, v)[1].data, expected, rtol=1e-7)


def test_jvp_of_a_batch_is_nan_where_a_matrix_is():
    x, v = np.stack([np.eye(2), np.full((2, 2), np.nan)]), np.ones((2, 2, 2))
    changes = tn.jvp(np.linalg.inv, x, v)[1].data
    np.testing.assert_allclose(changes[0], -np.ones((2, 2)))
    assert np.isnan(changes[1]).all()


def test_a_derivative_of_a_derivative_along_directions_is_a_constant():
    def along(t):
        return tn.jvp(lambda x: x**4, t, np.ones(2))[1]

    value, change = tn.jvp(along, np.ones(2), np.ones(2))
    np.testing.assert_allclose(change.data, [12, 12])
    cubes = tn.jvp(lambda t: tn.jvp(along, t, np.ones(2))[1], np.ones(2), np.ones(2))[1]
    np.testing.assert_allclose(cubes.data, [24, 24])
    assert [x.requires_grad for x in (value, change, cubes)] == [False, False, False]
