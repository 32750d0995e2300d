"""Derivatives of functions of containers and modules: against flat vectors, their forms, and what is refused."""

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn import nn
from tinygrad_nn.engine import trees
from tinygrad_nn.errors import ArgumentError, DtypeError, GraphError, SettingError, ShapeError


class Layer(NamedTuple):
    w: Any
    b: Any


def arrays(draw_seed):
    seed, shape = draw_seed
    return np.random.default_rng(seed).normal(size=shape)


LEAVES = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 99), st.sampled_from([(), (2,), (3, 1), (0,), (2, 2)])).map(arrays),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        st.tuples(inner, inner).map(lambda pair: Layer(*pair)),
    ),
    max_leaves=6,
).filter(lambda tree: any(x is not None for x in trees.leaves(tree)))


def flat(tree):
    """All numbers of a tree as one vector."""
    parts = [np.asarray(getattr(x, "data", x)) for x in trees.leaves(tree) if x is not None]
    return np.concatenate([x.ravel() for x in parts])


def unflat(tree, x):
    """The same containers with the numbers of a vector, which may be a tensor."""
    start = 0

    def part(leaf):
        nonlocal start
        if leaf is None:
            return None
        begin, start = start, start + np.size(leaf)
        return x[begin:start].reshape(np.shape(leaf))

    return trees.mapped(part, tree)


def mixed(tree):
    """A number to which every pair of leaves contributes."""
    total, sign = 1.0, 1.0
    for x in trees.leaves(tree):
        if x is not None:
            total = total * (1.5 + np.sin(x * sign).sum() / 4)
            sign = -sign / 2
    return total


def several(tree):
    """Containers of results that depend on all leaves."""
    total = mixed(tree)
    return {"total": total, "parts": [None if x is None else x * total for x in trees.leaves(tree)]}


def directions(tree, seed):
    rng = np.random.default_rng(seed)
    return trees.mapped(lambda x: None if x is None else rng.normal(size=np.shape(x)), tree)


def same_form(result, tree):
    assert trees.form(result) == trees.form(trees.mapped(lambda x: x, tree))


@given(TREES)
def test_gradients_of_containers_are_those_of_the_flat_vector(tree):
    value, g = tn.value_and_grad(mixed)(tree)
    expected, slope = tn.value_and_grad(lambda x: mixed(unflat(tree, x)))(flat(tree))
    np.testing.assert_allclose(value.data, expected.data, rtol=1e-13)
    np.testing.assert_allclose(flat(g), slope.data, rtol=1e-12, atol=1e-14)
    same_form(g, tree)


@given(TREES, st.integers(0, 9))
def test_products_with_jacobians_of_containers_are_those_of_the_flat_vector(tree, seed):
    y, pull = tn.vjp(several, tree)
    cotangent, v = directions(y, seed), directions(tree, seed + 1)
    g = pull(cotangent)
    J = tn.jacobian(
        lambda x: np.concatenate([y.ravel() for y in trees.leaves(several(unflat(tree, x))) if y is not None])
    )
    matrix = J(flat(tree)).data
    np.testing.assert_allclose(flat(g), flat(cotangent) @ matrix, rtol=1e-10, atol=1e-12)
    same_form(g, tree)
    value, slope = tn.jvp(several, (tree,), (v,))
    np.testing.assert_allclose(flat(value), flat(y))
    np.testing.assert_allclose(flat(slope), matrix @ flat(v), rtol=1e-10, atol=1e-12)
    same_form(slope, y)


@given(TREES, st.integers(0, 9))
def test_second_derivatives_of_containers_are_those_of_the_flat_vector(tree, seed):
    H = tn.hessian(lambda x: mixed(unflat(tree, x)))(flat(tree)).data
    v = directions(tree, seed)
    product = tn.hvp(mixed, (tree,), (v,))[0]
    np.testing.assert_allclose(flat(product), H @ flat(v), rtol=1e-10, atol=1e-12)
    same_form(product, tree)
    rows = [
        row for row in trees.leaves(trees.mapped(lambda x: [x], tn.hessian(mixed)(tree))) if row is not None
    ]
    assert sum(np.size(row.data) for row in rows) == H.size
    np.testing.assert_allclose(sum(float(row.data.sum()) for row in rows), H.sum(), rtol=1e-9, atol=1e-12)


def test_the_jacobian_has_the_containers_of_the_result_outside_and_of_the_argument_inside():
    f = lambda p: (p["w"] * p["b"], {"sum": p["w"].sum()})
    J = tn.jacobian(f)({"w": np.ones(2), "b": np.full(2, 3.0)})
    assert [J[0][name].shape for name in "wb"] == [(2, 2), (2, 2)]
    np.testing.assert_array_equal(J[0]["w"].data, 3 * np.eye(2))
    np.testing.assert_array_equal(J[1]["sum"]["w"].data, [1, 1])
    np.testing.assert_array_equal(J[1]["sum"]["b"].data, [0, 0])
    H = tn.hessian(lambda a, b: (a * b["x"]).sum(), (0, 1))(np.ones(2), {"x": np.ones(2)})
    np.testing.assert_array_equal(H[0][1]["x"].data, np.eye(2))
    np.testing.assert_array_equal(H[1]["x"][0].data, np.eye(2))
    assert not H[0][0].data.any()


def test_the_containers_of_a_gradient_are_kept_to_their_type():
    g = tn.grad(lambda p: (p[0].w * p[1]["b"][0]).sum())([Layer(np.ones(2), None), {"b": (np.ones(2),)}])
    assert type(g) is list
    assert type(g[0]) is Layer
    assert g[0].b is None
    assert type(g[1]["b"]) is tuple
    several_arguments = tn.grad(lambda a, p: a * p["x"], (0, 1))(2.0, {"x": 3.0})
    assert several_arguments[1]["x"].item() == 2


def test_a_function_may_change_the_containers_that_it_gets():
    params = {"w": np.ones(2), "b": 2.0}
    g = tn.grad(lambda p: (p.pop("w") * p.pop("b")).sum())(params)
    assert list(g) == list(params) == ["w", "b"]


def test_results_that_are_there_twice_have_the_sum_of_their_cotangents():
    y, pull = tn.vjp(lambda x: (x, x * x, x), 3.0)
    assert [part.item() for part in y] == [3, 9, 3]
    assert pull((1.0, 10.0, 100.0)).item() == 161
    _, pull = tn.vjp(lambda x: [h := x * x, h * h, h], 2.0)
    assert pull([1.0, 0.5, 10.0]).item() == 4 * (1 + 4 + 10)
    assert pull([0.0, 0.0, 1.0]).item() == 4


def test_gradients_take_several_results_with_their_cotangents():
    w, b = vector(1.0, 2.0), vector(3.0)
    ys = {"a": w * b, "sum": (w * w).sum()}
    g = tn.gradients(ys, [w, None, b], cotangent={"sum": 1.0, "a": [1.0, 10.0]})
    np.testing.assert_array_equal(g[0].data, [3 + 2, 30 + 4])
    assert g[1] is None
    np.testing.assert_array_equal(g[2].data, [21])
    with pytest.raises(GraphError, match=r"needs a cotangent"):
        tn.gradients({"a": w * b}, w)


# Auxiliary results


def test_auxiliary_results_come_along_without_a_derivative():
    f = lambda p: ((p["x"] * p["x"]).sum(), {"twice": 2 * p["x"], "note": "text", "n": 3})
    p = {"x": np.array([1.0, 2.0])}
    (value, aux), g = tn.value_and_grad(f, has_aux=True)(p)
    assert value.item() == 5
    np.testing.assert_array_equal(g["x"].data, [2, 4])
    np.testing.assert_array_equal(aux["twice"].data, [2, 4])
    assert not aux["twice"].requires_grad
    assert (aux["note"], aux["n"]) == ("text", 3)
    g, aux = tn.grad(f, has_aux=True)(p)
    assert aux["n"] == 3
    _, pull, aux = tn.vjp(f, p, has_aux=True)
    assert pull(1.0)["x"].shape == aux["twice"].shape == (2,)
    y, slope, aux = tn.jvp(f, p, {"x": np.ones(2)}, has_aux=True)
    assert (y.item(), slope.item(), aux["n"]) == (5, 6, 3)
    J, aux = tn.jacobian(f, has_aux=True)(p)
    assert (J["x"].shape, aux["n"]) == ((2,), 3)
    H, aux = tn.hessian(f, has_aux=True)(p)
    np.testing.assert_array_equal(H["x"]["x"].data, 2 * np.eye(2))
    np.testing.assert_array_equal(aux["twice"].data, [2, 4])


def test_auxiliary_results_are_differentiated_by_who_is_outside():
    f = lambda x: (x * x, x * x * x)
    assert tn.grad(lambda x: tn.grad(f, has_aux=True)(x)[1])(2.0).item() == 12
    assert tn.grad(lambda x: tn.vjp(f, x, has_aux=True)[2])(2.0).item() == 12
    assert tn.grad(lambda x: tn.grad(lambda t: (t, x * x), has_aux=True)(1.0)[1])(3.0).item() == 6
    assert tn.grad(lambda x: tn.vjp(lambda t: x, 1.0)[0])(3.0).item() == 1


@pytest.mark.parametrize("returned", [lambda x: x, lambda x: (x, x, x), lambda x: [x, x], lambda x: {"a": x}])
def test_a_function_without_auxiliary_results_is_refused(returned):
    with pytest.raises(
        ArgumentError, match=r"grad: with has_aux=True the function returns \(value, aux\), got a "
    ):
        tn.grad(returned, has_aux=True)(1.0)


# Modules


def network(dtype=float):
    return nn.Sequential(nn.Dense(3, 4, rng=0, dtype=dtype), nn.Tanh(), nn.Dense(4, 2, rng=1, dtype=dtype))


X3 = np.linspace(-1, 1, 15).reshape(5, 3)


def loss(model):
    return (model(X3) ** 2).mean()


def everything(model):
    return [
        (name, p, p.data, p.data.copy(), p.requires_grad, p.grad, p._node)
        for name, p in model.named_parameters()
    ]


def assert_untouched(model, before):
    for (name, p, data, copy, requires_grad, grad, node), now in zip(before, everything(model), strict=True):
        assert (name, requires_grad) == (now[0], now[4])
        assert p is now[1]
        assert data is now[2]
        assert grad is now[5]
        assert node is now[6]
        np.testing.assert_array_equal(copy, data)


def test_the_gradient_of_a_module_is_a_dict_of_its_trainable_parameters():
    model = network()
    model[0].bias.requires_grad = False
    before = everything(model)
    value, g = tn.value_and_grad(loss)(model)
    assert_untouched(model, before)
    assert list(g) == ["0.weight", "2.weight", "2.bias"]
    expected = loss(model)
    expected.backward()
    assert value.item() == expected.item()
    for name, p in model.named_parameters():
        if name in g:
            np.testing.assert_array_equal(g[name].data, p.grad)
    by_name = tn.gradients(loss(model), {"model": model})["model"]
    assert list(by_name) == list(g)
    np.testing.assert_array_equal(by_name["2.bias"].data, g["2.bias"].data)


def test_higher_derivatives_of_modules_agree():
    model = network()
    rng = np.random.default_rng(3)
    v = {name: rng.normal(size=p.shape) for name, p in model.named_parameters()}
    H = tn.hessian(loss)(model)
    product = {i: sum(np.tensordot(H[i][j].data, v[j], v[j].ndim) for j in v) for i in v}
    ways = (
        tn.hvp(loss, model, v),
        tn.jvp(tn.grad(loss), model, v)[1],
        tn.grad(lambda m: sum((g * v[name]).sum() for name, g in tn.grad(loss)(m).items()))(model),
        tn.vjp(tn.grad(loss), model)[1](v),
    )
    for way in ways:
        assert list(way) == list(v)
        for name in v:
            np.testing.assert_allclose(way[name].data, product[name], rtol=1e-11, atol=1e-14)


def test_a_penalty_on_gradients_reaches_the_parameters():
    model = network()
    squares = lambda gs: sum((g * g).sum() for g in gs)
    squares(tn.grad(loss)(model).values()).backward()
    ours = [p.grad for p in model.parameters()]
    model.zero_grad()
    squares(tn.gradients(loss(model), model.parameters(), create_graph=True)).backward()
    for a, p in zip(ours, model.parameters(), strict=True):
        np.testing.assert_allclose(a, p.grad, rtol=1e-12)
    with tn.no_grad():
        assert not any(g.requires_grad for g in tn.grad(loss)(model).values())


def test_a_module_is_untouched_by_a_function_that_fails():
    model = network()
    before = everything(model)

    def fails(m):
        m[0].weight = None
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        tn.grad(fails)(model)
    assert_untouched(model, before)


def test_threads_differentiate_one_module_by_themselves():
    model = network()
    expected = tn.grad(loss)(model)
    wrong = []

    def differentiate():
        for _ in range(20):
            g = tn.grad(loss)(model)
            wrong.extend(name for name in expected if not np.array_equal(g[name].data, expected[name].data))

    before = everything(model)
    threads = [threading.Thread(target=differentiate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert_untouched(model, before)


def test_modules_stand_in_containers_and_share_parameters():
    tied = nn.Dense(2, 2, rng=0, dtype=float)
    pair = nn.Sequential(tied, nn.Tanh(), tied)
    x = np.ones((1, 2))
    g = tn.grad(lambda p: (p["nets"][0](x) * p["scale"]).sum())({"nets": (pair, None), "scale": 2.0})
    assert list(g["nets"][0]) == ["0.weight", "0.bias"]
    (2 * pair(x)).sum().backward()
    np.testing.assert_allclose(g["nets"][0]["0.weight"].data, tied.weight.grad, rtol=1e-15)


# What is refused


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: tn.grad(lambda p: 0)({}), ArgumentError, r"nothing to differentiate by in p = \{\}"),
        (lambda: tn.grad(lambda p: 0)([None, ()]), ArgumentError, r"in p = \[None, \(\)\]"),
        (lambda: tn.grad(lambda m: 0)(nn.Tanh()), ArgumentError, "in m = Tanh without trainable parameters"),
        (
            lambda: tn.grad(lambda params: 0)({"layers": [np.arange(3)]}),
            DtypeError,
            r"got dtype int64 in params\['layers'\]\[0\]",
        ),
        (lambda: tn.vjp(lambda x, p: 0, 1.0, [True]), DtypeError, r"vjp: .* got dtype bool in p\[0\]"),
        (lambda: tn.jacobian(lambda p: 0)({"name": "a"}), ArgumentError, r"jacobian: p\['name'\] is str"),
        (
            lambda: tn.grad(lambda p: 0)({"a": OrderedDict(x=1.0)}),
            ArgumentError,
            r"p\['a'\] is OrderedDict.*\n  hint   a dict itself",
        ),
        (lambda: tn.grad(lambda p: p)({"a": 1.0}), GraphError, r"returned \{'a': \*\}, expected one tensor"),
        (lambda: tn.vjp(lambda x: {"a": [x, 3.0]}, 1.0), GraphError, r"returned float in result\['a'\]\[1\]"),
        (lambda: tn.vjp(lambda x: [None], 1.0), GraphError, r"returned \[None\], expected a Tensor"),
        (
            lambda: tn.vjp(lambda x: {"a": x, "b": (x,)}, 1.0)[1]({"a": 1.0, "b": [1.0]}),
            ArgumentError,
            r"result     \{'a': \*, 'b': \(\*,\)\}\n  cotangent  \{'a': \*, 'b': \[\*\]\}",
        ),
        (
            lambda: tn.vjp(lambda x: (x, x), np.ones(2))[1]((np.ones(2), np.ones(3))),
            ShapeError,
            r"\(2,\).*\(3,\)",
        ),
        (
            lambda: tn.jvp(lambda p: p["a"], {"a": 1.0}, {"b": 1.0}),
            ArgumentError,
            r"jvp: .* argument 0 .*\n  argument   \{'a': \*\}\n  direction  \{'b': \*\}",
        ),
        (
            lambda: tn.hvp(lambda x: x.sum(), np.ones(2), np.ones(3)),
            ShapeError,
            r"hvp: argument 0 .*\(2,\).*\(3,\)",
        ),
        (lambda: tn.hvp(1.0, 1.0, 1.0), ArgumentError, "hvp: expected a function, got a float"),
        (lambda: tn.hvp(lambda x: x, np.ones(2), np.ones(2)), ShapeError, "expected a scalar"),
        (lambda: tn.jacobian(lambda x: x, 1)(1.0), SettingError, "argnums 1 is outside of the 1 positional"),
        (lambda: tn.grad(lambda *, x: x)(x=1.0), SettingError, "are given by position, not by name"),
    ],
)
def test_what_cannot_be_differentiated_says_where_it_is(call, error, says):
    with pytest.raises(error, match=says):
        call()
