"""RNN, LSTM and GRU: shapes, layers and directions, lengths and states, in summaries, drawings, replays and fit."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.steps import training_step
from tinygrad_nn import nn, optim, train
from tinygrad_nn.errors import SettingError, ShapeError

KINDS = pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3)).astype(np.float32)


def flat(result):
    """Return outputs and last states as one list."""
    outputs, state = result
    return [outputs, *(state if isinstance(state, tuple) else (state,))]


class Last(nn.Module):
    """Classes from the last output."""

    def __init__(self, layer, classes=2):
        self.layer = layer
        self.head = nn.Dense(layer.hidden_size * (1 + layer.bidirectional), classes, rng=1)

    def forward(self, x):
        outputs, _ = self.layer(x)
        return self.head(outputs[:, -1])


@KINDS
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("both", [False, True])
def test_outputs_are_batch_first_and_states_have_layers_and_directions_first(kind, layers, both):
    outputs, *states = flat(kind(3, 5, layers, both, rng=0)(X))
    assert outputs.shape == (4, 6, 10 if both else 5)
    assert {s.shape for s in states} == {(layers * (1 + both), 4, 5)}
    np.testing.assert_array_equal(outputs.data[:, -1, :5], states[0].data[-1 - both])
    if both:
        np.testing.assert_array_equal(outputs.data[:, 0, 5:], states[0].data[-1])


@KINDS
def test_a_sequence_in_two_parts_gives_what_it_gives_at_once(kind):
    layer = kind(3, 5, 2, rng=0, dtype=np.float64)
    whole = flat(layer(X))
    first, state = layer(X[:, :2])
    second = flat(layer(X[:, 2:], state))
    np.testing.assert_allclose(
        np.concatenate([first.data, second[0].data], axis=1), whole[0].data, rtol=1e-13
    )
    for a, b in zip(second[1:], whole[1:], strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-13)


@KINDS
def test_a_padded_batch_gives_what_each_sample_gives_alone_in_all_layers_and_directions(kind):
    layer = kind(3, 5, 2, True, rng=0, dtype=np.float64)
    lengths = [6, 3, 1, 0]
    whole = flat(layer(X, lengths=lengths))
    for k, length in enumerate(lengths):
        alone = flat(layer(X[k : k + 1, :length]))
        np.testing.assert_allclose(whole[0].data[k, :length], alone[0].data[0], rtol=1e-12)
        assert not whole[0].data[k, length:].any()
        for a, b in zip(whole[1:], alone[1:], strict=True):
            np.testing.assert_allclose(a.data[:, k], b.data[:, 0], rtol=1e-12)


@KINDS
def test_no_samples_and_no_steps_are_taken(kind):
    layer = kind(3, 5, 2, True, rng=0)
    for x in (X[:0], X[:, :0]):
        outputs, *states = flat(layer(x))
        assert outputs.shape == (len(x), x.shape[1], 10)
        assert {s.shape for s in states} == {(4, len(x), 5)}
        sum((s.sum() for s in states), outputs.sum()).backward()
    assert all(p.grad is not None for p in layer.parameters())


@KINDS
def test_parameters_have_the_names_of_pytorch_and_weights_are_as_those_of_dense(kind):
    state = kind(3, 5, 2, True, rng=0).state_dict()
    g = 5 * kind.gates
    ends = [f"l{k}{end}" for k in (0, 1) for end in ("", "_reverse")]
    assert list(state) == [
        f"{what}_{end}" for end in ends for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    assert state["weight_ih_l0"].shape == (3, g)
    assert state["weight_ih_l1_reverse"].shape == (10, g)
    assert state["weight_hh_l1"].shape == (5, g)
    assert {state[name].shape for name in state if name.startswith("bias")} == {(g,)}
    assert not any("bias" in name for name, _ in kind(3, 5, bias=False).named_parameters())


@KINDS
def test_gates_are_initialised_one_by_one_and_states_are_turned(kind):
    layer = kind(3, 50, rng=0)
    limit = np.sqrt(6 / 53)
    for gate in np.split(layer.weight_ih_l0.data, kind.gates, axis=1):
        assert 0.9 * limit < np.abs(gate).max() <= limit
    for gate in np.split(layer.weight_hh_l0.data, kind.gates, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(50), atol=1e-5)
    assert not layer.bias_ih_l0.data.any()
    assert not layer.bias_hh_l0.data.any()
    ones = kind(3, 2, init=nn.init.ones(), recurrent_init=nn.init.constant(2), bias_init=nn.init.constant(3))
    assert {name: set(a.ravel()) for name, a in ones.state_dict().items()} == {
        "weight_ih_l0": {1}, "weight_hh_l0": {2}, "bias_ih_l0": {3}, "bias_hh_l0": {3}
    }  # fmt: skip


@KINDS
def test_a_model_with_it_is_summed_up_drawn_and_told_of_in_words(kind):
    model = Last(kind(3, 5, rng=0))
    assert model.summary((6, 3)).rows[0][1:3] == (f"{kind.__name__}(3 -> 5)", "(N, 6, 5)")
    drawn = model.graph(tn.as_tensor(X))
    assert f"layer: {kind.__name__}" in str(drawn)
    assert kind.__name__ in drawn.dot
    assert repr(kind(3, 5, 2, True, bias=False)) == (
        f"{kind.__name__}(3 -> 5, num_layers=2, bidirectional=True, bias=False)"
    )


@KINDS
def test_a_compiled_training_step_is_the_eager_one(kind, backend):
    losses = []
    for compiled in (False, True):
        model = Last(kind(3, 5, bidirectional=True, rng=0, dtype=np.float64))
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        step = training_step(model, optimizer)
        run = tn.compile(step, backend) if compiled else step
        labels = np.array([0, 1, 1, 0])
        losses.append([run(X.astype(np.float64), labels).item() for _ in range(6)])
    np.testing.assert_allclose(*losses, rtol=1e-7)
    assert losses[0][-1] < losses[0][0]


def test_fit_learns_which_of_two_signs_came_first():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 256)
    x = rng.normal(scale=0.1, size=(256, 8, 1)).astype(np.float32)
    x[:, 0, 0] += 2 * y - 1
    model = Last(nn.GRU(1, 8, rng=0))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    batches = tn.data.batches(x, y, size=32, rng=0)
    history = train.fit(model, nn.losses.cross_entropy, optimizer, batches, epochs=10, progress=False)
    assert history["loss"][-1] < 0.05


def test_a_layer_behind_it_is_told_that_there_are_two_results():
    layers = nn.LSTM(3, 4, rng=0), nn.Dense(4, 2, rng=0)
    for following in (layers[1], nn.Tanh(), nn.Flatten(), layers[0], lambda y: nn.losses.mse(y, X)):
        with pytest.raises(
            ShapeError, match=r"2 results were given .*\n  hint   lambda results: results\[0\]"
        ):
            nn.Sequential(layers[0], following)(X)
    assert nn.Sequential(layers[0], lambda results: results[0], layers[1])(X).shape == (4, 6, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda layer: layer(X[0]),
            r"LSTM: x has shape \(6, 3\), expected \(N, T, 3\), batch first\n  hint   x\[None\]",
        ),
        (
            lambda layer: layer(X.swapaxes(1, 2)),
            r"x has shape \(4, 3, 6\), .*\n  hint   .*np.moveaxis\(x, 1, -1\)",
        ),
        (lambda layer: layer(X[..., :2]), r"LSTM: x has shape \(4, 6, 2\), expected \(N, T, 3\)"),
        (
            lambda layer: layer(np.ones((4, 6), int)),
            r"hint   nn\.Embedding\(symbols, 3\) .* np.eye\(3, dtype=np.float32\)\[x\]$",
        ),
        (lambda layer: layer(np.ones((4, 12))), r"hint   x\.reshape\(len\(x\), -1, 3\)"),
        (lambda layer: layer(np.ones((4, 6, 3, 1))), r"hint   x\.reshape\(\*x\.shape\[:2\], -1\)"),
        (lambda layer: layer(X, np.zeros((1, 4, 5))), r"LSTM: the state is a tuple \(h, c\), got ndarray"),
        (
            lambda layer: layer(X, (np.zeros((1, 4, 5)),)),
            r"LSTM: the state is a tuple \(h, c\), got 1 of them",
        ),
        (
            lambda layer: layer(X, (np.zeros((4, 5)),) * 2),
            r"the state h has shape \(4, 5\), .*\n  hint   .*h\[None\]",
        ),
        (
            lambda layer: layer(X, (np.zeros((1, 4, 5)), np.zeros((2, 4, 5)))),
            r"the state c has shape \(2, 4, 5\)",
        ),
        (lambda layer: layer(X, lengths=[7, 1, 1, 1]), r"lstm: lengths are from 0 to the 6 steps"),
        (lambda layer: layer(X, lengths=[1, 1]), r"lstm: lengths has shape \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_write(call, message):
    with pytest.raises((ShapeError, SettingError), match=message):
        call(nn.LSTM(3, 5, rng=0))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((0, 2), "GRU: input_size is a positive integer, got 0"),
        ((2, 2.0), "GRU: hidden_size is a positive integer, got 2.0"),
        ((2, 2, True), "GRU: num_layers is a positive integer, got True"),
        ((2, 2, 1, 2), "GRU: bidirectional is True or False, got 2"),
    ],
)
def test_sizes_are_positive_integers(args, message):
    with pytest.raises(ValueError, match=message):
        nn.GRU(*args)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"batch_first": True},
            r"LSTM: there is no keyword batch_first=True\n  takes  .*\n  hint   nothing: x is",
        ),
        (
            {"nonlinearity": "relu"},
            r"no keyword nonlinearity='relu'\n  takes  .*\n  hint   nothing: RNN has tanh",
        ),
        ({"hidden": 3}, r"LSTM: there is no keyword hidden=3\n  takes  .*\n  hint   hidden_size=3$"),
    ],
)
def test_options_of_others_are_refused_with_what_to_write(option, message):
    with pytest.raises(TypeError, match=message):
        nn.LSTM(3, 5, **option)
