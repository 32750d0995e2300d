"""A compiled training step with any layer is the eager one, whatever changes between its calls."""

import os
from functools import partial

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.layers import LAYERS
from tests.support.steps import training_step
from tinygrad_nn import nn
from tinygrad_nn.engine import trees

SOME = LAYERS if os.environ.get("CI") == "true" else ["BatchNorm", "Dropout", "GRU with lengths", "Conv2d"]
"""Which are compiled with Numba, which takes its time: all of them in the gate."""


class Headed(nn.Module):
    """A layer with a layer of classes behind it, so that there is something to learn."""

    def __init__(self, factory, x):
        self.layer = factory(0)
        self.head = nn.Dense(self._flat(x).shape[1], 3, rng=1)

    def _flat(self, x):
        y = next(iter(trees.leaves(self.layer(x))))
        return y.reshape(len(x), -1)

    def forward(self, x):
        return self.head(self._flat(x))


def trainer(factory, x):
    model = Headed(factory, x)
    optimizer = tn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(x, labels, weights):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(x), labels, sample_weight=weights)
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, step


def freeze(model, optimizer, saved):
    model.parameters()[0].requires_grad = False


def thaw(model, optimizer, saved):
    model.parameters()[0].requires_grad = True


def load(model, optimizer, saved):
    model.load_state_dict(saved)


def change_the_rate(model, optimizer, saved):
    optimizer.lr = 0.01


STORY = [
    (4, lambda *_: None),
    (4, lambda *_: None),
    (3, change_the_rate),
    (4, lambda model, *_: model.eval()),
    (4, freeze),
    (4, lambda model, *_: model.train()),
    (3, thaw),
    (4, load),
    (4, lambda *_: None),
]
"""Rows of the batch, and what happens before it."""


def batch_like(x, rows, rng):
    """Return inputs like the given ones, labels, and weights of which some are zero."""
    shape = (rows, *x.shape[1:])
    inputs = rng.integers(0, x.max() + 1, shape) if x.dtype.kind == "i" else rng.normal(size=shape)
    return inputs.astype(x.dtype), rng.integers(0, 3, rows), rng.integers(0, 3, rows) + np.eye(rows)[0]


def everything(model, optimizer):
    """Return all that a step may change, by name."""
    state = model.state_dict() | {f"optimizer {name}": a for name, a in optimizer.state_dict().items()}
    gradients = {f"gradient {name}": p.grad for name, p in model.named_parameters()}
    return state | {name: g for name, g in gradients.items() if g is not None}


def run_beside_the_eager_step(name, backend, compare):
    factory, x = LAYERS[name]
    rng = np.random.default_rng(5)
    eager, compiled = trainer(factory, x), trainer(factory, x)
    step = tn.compile(compiled[2], backend)
    saved = eager[0].state_dict()
    for k, (rows, change) in enumerate(STORY):
        for model, optimizer, _ in (eager, compiled):
            change(model, optimizer, saved)
        batch = batch_like(x, rows, rng)
        compare(step(*batch).data, eager[2](*batch).data, err_msg=f"loss {k}")
        expected, found = everything(*eager[:2]), everything(*compiled[:2])
        assert expected.keys() == found.keys()
        for what, a in expected.items():
            compare(found[what], a, err_msg=f"{what}, step {k}")


@pytest.mark.parametrize("name", LAYERS)
def test_a_compiled_training_step_is_the_eager_one_bit_for_bit(name):
    run_beside_the_eager_step(name, "numpy", np.testing.assert_array_equal)


@pytest.mark.parametrize("name", SOME)
def test_loops_do_what_the_eager_step_does(name):
    pytest.importorskip("numba")
    run_beside_the_eager_step(name, "numba", partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5))


@pytest.mark.parametrize("name", [name for name, (factory, _) in LAYERS.items() if factory(0).parameters()])
def test_a_compiled_gradient_of_a_module_is_the_eager_one_and_its_state_moves_once(name):
    factory, x = LAYERS[name]

    def slope(layer, x):
        return tn.grad(lambda layer: (np.sin(next(iter(trees.leaves(layer(x))))) ** 2).sum())(layer)

    eager, other = factory(0), factory(0)
    compiled = tn.compile(slope, "numpy")
    for k, training in enumerate([True, True, False, True]):
        batch, _, _ = batch_like(x, 4, np.random.default_rng(k))
        expected, found = slope(eager.train(training), batch), compiled(other.train(training), batch)
        for key, g in expected.items():
            np.testing.assert_array_equal(found[key].data, g.data, err_msg=key)
    for key, a in eager.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key], a, err_msg=key)


@pytest.mark.parametrize(
    "of_layer",
    [
        lambda layer, z: layer(z),
        lambda layer, z: layer(tn.tensor(z)),
        lambda layer, z: tn.remat(layer)(z),
        lambda layer, z: tn.vjp(layer, z)[0],
        lambda layer, z: tn.jvp(layer, z, np.ones((4, 3)))[1],
        lambda layer, z: tn.value_and_grad(lambda z: layer(z).sum())(z)[0],
        lambda layer, z: tn.hvp(lambda z: np.sin(layer(z)).sum(), z, np.ones((4, 3))),
        lambda layer, z: tn.jacobian(layer)(z),
    ],
)
@pytest.mark.parametrize("layer", [nn.Dense(3, 2, rng=0), nn.LayerNorm(3)])
def test_only_arguments_themselves_are_cast_to_the_dtype_of_a_layer_and_not_what_is_made_of_them(
    layer, of_layer
):
    z = np.random.default_rng(0).normal(size=(4, 3))
    expected, found = of_layer(layer, z), tn.compile(lambda z: of_layer(layer, z), "numpy")(z)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.data, expected.data)


class Transformer(nn.Module):
    """What a GPT is made of, one of each."""

    def __init__(self):
        self.table, self.norms = nn.Embedding(11, 16, rng=0), [nn.LayerNorm(16), nn.LayerNorm(16)]
        self.attention = nn.MultiheadAttention(16, 2, rng=1)
        self.wide, self.narrow = nn.Dense(16, 32, rng=2), nn.Dense(32, 16, rng=3)

    def forward(self, ids):
        x = self.table(ids)
        x = x + self.attention(self.norms[0](x), causal=True)
        x = x + self.narrow(tn.gelu(self.wide(self.norms[1](x)), approximate="tanh"))
        return x @ self.table.weight.T


def test_a_transformer_learns_the_same_bit_for_bit_with_numpy(backend):
    ids, following = np.random.default_rng(0).integers(11, size=(2, 20, 9))

    def losses(prepare):
        model = Transformer()
        optimizer = tn.optim.AdamW(model.parameters(), lr=0.01)
        step = prepare(training_step(model, optimizer))
        return [step(ids, following).item() for _ in range(4)]

    expected, found = losses(lambda step: step), losses(partial(tn.compile, backend=backend))
    if backend == "numpy":
        assert found == expected
    np.testing.assert_allclose(found, expected, rtol=1e-5)
