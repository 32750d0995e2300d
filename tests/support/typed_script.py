"""What a user writes, as type checkers see it: checked under mypy --strict and pyright by tests/test_types.py."""

from typing import assert_type

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.train import History


def f(t: tn.Tensor) -> tn.Tensor:
    return (t * t).sum()


def two(params: dict[str, tn.Tensor]) -> tuple[tn.Tensor, int]:
    return f(params["w"]), 3


def parts(t: tn.Tensor) -> dict[str, tn.Tensor]:
    return {"square": t * t, "sum": t.sum()}


def derivatives() -> None:
    """Never run."""
    x, params = np.ones(3), {"w": np.ones(3)}
    assert_type(tn.value_and_grad(f)(x)[0], tn.Tensor)
    (value, aux), g = tn.value_and_grad(two, has_aux=True)(params)
    assert_type(value, tn.Tensor)
    assert_type(aux, int)
    print(g["w"], tn.grad(f)(x), tn.grad(two, 0, has_aux=True)(params)[1] + 1)
    assert_type(tn.vjp(parts, x)[0], dict[str, tn.Tensor])
    assert_type(tn.vjp(two, params, has_aux=True)[2], int)
    assert_type(tn.jvp(parts, x, x)[1], dict[str, tn.Tensor])
    assert_type(tn.jvp(two, params, params, has_aux=True)[2], int)
    print(tn.jacobian(parts)(x)["square"], tn.hessian(f, (0,))(x), tn.hvp(f, x, x))
    model = nn.Sequential(nn.Dense(3, 1, rng=0))
    print(tn.grad(lambda m: m(x).sum())(model)["0.weight"])
    assert_type(model.with_parameters({"0.bias": np.ones(1, np.float32)}), nn.Sequential)
    w = tn.tensor(x, requires_grad=True)
    assert_type(tn.gradients(f(w), w), tn.Tensor)
    assert_type(tn.gradients(f(w), [w]), list[tn.Tensor])
    print(tn.gradients(parts(w), {"w": w}, cotangent=parts(w))["w"])
    assert_type(tn.remat(f)(w), tn.Tensor)
    assert_type(tn.remat(model)(x), tn.Tensor)


def script() -> None:
    """Never run."""
    x, labels = tn.data.moons(100, noise=0.2, seed=0)
    w = tn.tensor([[1.0], [2.0]], requires_grad=True, name="w")

    assert_type(w, tn.Tensor)
    assert_type(w @ w.T, tn.Tensor)
    assert_type(x @ w, tn.Tensor)
    assert_type(2 * w + 1.0, tn.Tensor)
    assert_type(w > 0, tn.Tensor)
    assert_type(w[0], tn.Tensor)
    print(np.exp(w))
    assert_type(w.sum(axis=0, keepdims=True), tn.Tensor)
    assert_type(w.reshape(1, 2).tanh(), tn.Tensor)
    assert_type(w.shape, tuple[int, ...])
    assert_type(tn.tensor(2.0).item(), float)

    model = nn.Sequential(nn.Dense(2, 8, rng=0), nn.Tanh(), nn.Dense(8, 2, rng=1))
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    loss = nn.losses.cross_entropy(nn.Dense(2, 2, rng=0)(x), labels)
    assert_type(loss, tn.Tensor)
    loss.backward()
    optimizer.step()
    assert_type(model.parameters(), list[tn.Tensor])

    batches = tn.data.batches(x, labels, size=20, rng=0)
    history = tn.train.fit(model, nn.losses.cross_entropy, optimizer, batches, epochs=2, progress=False)
    assert_type(history, History)
    assert_type(history["loss"], list[float])
    print(tn.train.predict(model, x).argmax(axis=1) == labels)
    tn.save("model.safetensors", model=model)
    tn.load("model.safetensors", model=model)
    tn.plot.history(history)
    picture = loss.graph(values=False, title="loss")
    assert_type(loss.explain(lang="ja"), str)
    picture.render("loss.svg")
    model.graph(x).render("model.html")
    assert_type(tn.vjp(f, np.ones(3))[0], tn.Tensor)
    tn.testing.gradcheck(f, np.ones(3))
