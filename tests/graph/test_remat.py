"""remat: the same derivatives from values that are computed again, and what it refuses."""

import gc
import random
import threading
import weakref

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn import nn
from tinygrad_nn.engine import trees
from tinygrad_nn.errors import ArgumentError, GraphError, GraphFreed, StaleValue

X = np.linspace(-1.0, 1.0, 12).reshape(4, 3)


def network(dtype=float):
    make = lambda a, b, seed: nn.Sequential(
        nn.Dense(a, b, rng=seed, dtype=dtype), nn.GELU(), nn.Dense(b, b, rng=9, dtype=dtype)
    )
    return nn.Sequential(make(3, 5, 0), nn.Tanh(), make(5, 2, 1))


def wavy(p):
    """A function of containers with several results, whose ops save operands, results and residuals."""
    h = tn.logsumexp(np.tanh(p["x"]) @ p["x"].T, axis=0)
    return {"h": h, "parts": (np.where(h > 0, h * h, np.exp(h)), tn.softmax(h), None)}


def total(tree):
    return tree["h"].sum() * 2 + (tree["parts"][0] * tree["parts"][1]).sum()


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f: tn.value_and_grad(f)(P),
        lambda f: tn.hessian(f)(P),
        lambda f: tn.hvp(f, P, {"x": X[::-1]}),
        lambda f: tn.jvp(tn.grad(f), P, P),
        lambda f: tn.grad(lambda p: tn.hvp(f, p, P)["x"].sum())(P),
    ],
)
def test_derivatives_of_every_order_are_the_same_bit_for_bit(derivative):
    again = tn.remat(wavy)
    expected = derivative(lambda p: total(wavy(p)))
    found = derivative(lambda p: total(again(p)))
    ours, theirs = ([x.data for x in trees.leaves(tree)] for tree in (found, expected))
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


P = {"x": X}


def gradients_of(model, forward):
    model.zero_grad()
    loss = (forward(model) ** 2).mean()
    loss.backward()
    return [loss.data] + [p.grad for p in model.parameters()]


@pytest.mark.parametrize(
    "forward",
    [
        lambda m: tn.remat(m)(X),
        lambda m: tn.remat(m[2])(m[1](tn.remat(lambda x: m[0](x))(X))),
        lambda m: tn.remat(lambda x: m[2](tn.remat(m[1])(tn.remat(m[0])(x))))(X),
        lambda m: tn.remat(lambda x, *, scale: m(x) * scale)(X, scale=1.0),
    ],
    ids=["whole", "parts", "nested", "keyword"],
)
def test_parameters_that_a_function_closes_over_get_their_gradients(forward):
    model = network()
    for a, b in zip(gradients_of(model, forward), gradients_of(model, lambda m: m(X)), strict=True):
        np.testing.assert_array_equal(a, b)
    named = tn.grad(lambda m: (forward(m) ** 2).mean())(model)
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(named[name].data, p.grad)


def test_a_variable_that_a_function_closes_over_is_one_when_it_runs_again():
    inner = lambda x: tn.remat(lambda h: np.sin(h * x) * x)(x * x)
    plain = lambda x: np.sin(x * x * x) * x
    np.testing.assert_allclose(tn.grad(inner)(0.7).data, tn.grad(plain)(0.7).data, rtol=1e-6)
    np.testing.assert_allclose(
        tn.grad(tn.grad(inner))(0.7).data, tn.grad(tn.grad(plain))(0.7).data, rtol=1e-5
    )
    _, pull = tn.vjp(inner, 0.7)
    assert pull(1.0).item() == pull(1.0).item()
    w = vector(2.0)
    slope = tn.grad(lambda x: tn.remat(lambda t: np.exp(w * t) * t)(x).sum())(np.ones(1))
    slope.backward()
    expected = tn.gradients(tn.gradients((np.exp(w * (t := vector(1.0))) * t).sum(), t, create_graph=True), w)
    np.testing.assert_array_equal(w.grad, expected.data)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState, random.Random])
def test_random_numbers_are_drawn_again(make):
    rng = make(0)
    draw = rng.uniform if isinstance(rng, np.random.Generator) else rng.random

    def dropped(x):
        mask = np.array(
            [(draw() if make is not np.random.default_rng else draw(0, 1)) < 0.5 for _ in range(20)]
        )
        return np.where(mask, np.sin(x) * x, 0.0)

    x = vector(*np.linspace(0, 1, 20))
    y = tn.remat(dropped)(x)
    after = draw()
    y.sum().backward()
    expected = np.where(y.data != 0, np.cos(x.data) * x.data + np.sin(x.data), x.data * 0)
    np.testing.assert_allclose(x.grad[1:], expected[1:], rtol=1e-12)
    replay = make(0)
    twin = replay.uniform if isinstance(replay, np.random.Generator) else replay.random
    for _ in range(20):
        twin()
    assert after == twin()
    assert draw() == twin(), "the backward pass has moved the generator"


def test_raw_bits_are_drawn_again():
    bits, drawn = np.random.PCG64(0), []

    def scaled(x):
        drawn.append(float(bits.random_raw() % 1000))
        return x * drawn[-1]

    slope = tn.grad(tn.remat(scaled))(1.0)
    assert slope.item() == drawn[0] == drawn[1]


def counted(f):
    calls = []

    def counting(x):
        calls.append(x)
        return f(x)

    return counting, calls


def test_a_function_runs_once_more_for_each_backward_pass():
    f, calls = counted(lambda x: np.tanh(np.sin(x)))
    x = vector(1.0, 2.0)
    y = tn.remat(f)(x)
    assert len(calls) == 1
    y.backward(np.ones(2), retain_graph=True)
    assert len(calls) == 2
    first = x.grad.copy()
    y.backward(np.ones(2))
    assert len(calls) == 3
    np.testing.assert_array_equal(x.grad, 2 * first)
    with pytest.raises(GraphFreed):
        y.backward(np.ones(2))
    with tn.no_grad():
        tn.remat(f)(x)
    assert len(calls) == 4


def test_what_is_inside_is_freed_at_once_and_what_runs_again_after_the_pass():
    made = []

    def f(x):
        h = np.sin(x)
        made.append(weakref.ref(h.data))
        return np.tanh(np.cos(h))

    x = vector(*np.linspace(0, 1, 1000))
    gc.collect()
    gc.disable()
    try:
        y = tn.remat(f)(np.exp(x))
        assert made[0]() is None
        y.sum().backward()
        assert made[1]() is None
    finally:
        gc.enable()


def test_arguments_are_kept_as_they_were():
    x = vector(1.0, 2.0)
    constant = tn.tensor(np.array([3.0, 4.0]))
    parts = [x, constant]
    y = tn.remat(lambda parts: np.sin(parts.pop() * parts[0]))(parts)
    assert len(parts) == 2, "the function has containers of its own"
    parts.clear()
    constant.data = np.zeros(2)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.cos([3.0, 8.0]) * [3.0, 4.0])


def test_updates_of_buffers_are_not_made_twice():
    count = tn.kernel(None, writes=(0,), differentiable=False, method=False, name="count_up")
    counting = count(lambda buffer: np.add(buffer, 1, out=buffer))
    buffer = np.zeros(1)
    x = vector(1.0)

    def f(x):
        counting(buffer)
        return np.sin(np.sin(x))

    tn.remat(f)(x).sum().backward()
    assert buffer[0] == 1
    np.testing.assert_allclose(x.grad, np.cos(np.sin(1)) * np.cos(1))


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_a_compiled_step_does_the_same(backend):
    model, twin = network(), network()
    sgd, other = (tn.optim.SGD(m.parameters(), lr=0.1) for m in (model, twin))

    def step(m, optimizer, wrapped, x):
        optimizer.zero_grad()
        loss = (wrapped(m)(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tn.compile(lambda x: step(model, sgd, tn.remat, x), backend)
    for _ in range(4):
        expected = step(twin, other, lambda m: m, X)
        np.testing.assert_allclose(compiled(X).data, expected.data, rtol=1e-12)
    graph, _ = tn.trace(tn.grad(lambda x: tn.remat(np.tanh)(x).sum()), X)
    assert sum(call.op.name == "tanh" for call in graph.ops) == 1


def test_debug_looks_at_what_is_computed_again():
    x = vector(1.0, 2.0)
    with tn.debug():
        tn.remat(lambda x: np.sin(np.exp(x)))(x).sum().backward()
    np.testing.assert_allclose(x.grad, np.cos(np.exp(x.data)) * np.exp(x.data))


def test_threads_pull_back_through_the_same_graph():
    f = tn.remat(lambda x: np.tanh(np.sin(x) @ np.cos(x).T).sum(axis=0))
    _, pull = tn.vjp(lambda x: tn.remat(lambda h: f(h * x))(x), X[:, :3])
    expected = pull(np.ones(4)).data
    wrong = []

    def work():
        for _ in range(20):
            try:
                if not np.array_equal(pull(np.ones(4)).data, expected):
                    wrong.append("another gradient")
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_parameter_that_has_changed_is_refused():
    model = network()
    loss = tn.remat(model)(X).sum()
    with tn.no_grad():
        model[0][0].weight.data *= 2
        model[0][0].weight.data = model[0][0].weight.data
    with pytest.raises(StaleValue, match=r"remat: .* was changed after the forward pass"):
        loss.backward()
    assert all(p.grad is None for p in model.parameters())


class Moody(nn.Module):
    def forward(self, x):
        return np.sin(np.sin(x)) if self.training else np.sin(np.exp(x))


def test_a_function_that_does_something_else_is_refused():
    x = vector(1.0)
    model = Moody()
    y = tn.remat(model)(x).sum()
    model.eval()
    with pytest.raises(
        GraphError, match=r"remat: .* something else: sin \(1,\) was op 0, exp \(1,\) is it now\n"
    ):
        y.backward(retain_graph=True)
    model.train()
    y.backward()
    np.testing.assert_allclose(x.grad, np.cos(np.sin(1)) * np.cos(1))


def test_only_functions_are_wrapped():
    with pytest.raises(ArgumentError, match=r"remat: expected a function, got a Tensor\n  hint   tn.remat"):
        tn.remat(vector(1.0))
    assert tn.remat(nn.Dense(2, 1, rng=0))(np.ones((3, 2))).shape == (3, 1)
