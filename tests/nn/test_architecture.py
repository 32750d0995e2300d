"""How a model is built goes with it into its file, and comes back as the same model."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.layers import LAYERS, X
from tinygrad_nn import nn
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.nn import architecture


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def plain_attributes(model):
    """Return all attributes inside that are no arrays, modules or generators, by path."""
    return {
        f"{path}.{name}": value
        for path, module in model.named_modules()
        for name, value in {**vars(module), "training": module.training}.items()
        if isinstance(value, (bool, int, float, str, tuple, type(None)))
    }


def alike(model, again):
    """Check that a model came back: its parts, their settings, their values to the bit, and their modes."""
    assert repr(again) == repr(model)
    assert [(name, type(m)) for name, m in again.named_modules()] == [
        (name, type(m)) for name, m in model.named_modules()
    ]
    assert plain_attributes(again) == plain_attributes(model)
    ours, theirs = model.state_dict(), again.state_dict()
    assert list(theirs) == list(ours)
    for name, array in ours.items():
        np.testing.assert_array_equal(theirs[name], array, strict=True)
    assert [(n, p.requires_grad) for n, p in again.named_parameters()] == [
        (n, p.requires_grad) for n, p in model.named_parameters()
    ]


def saved(path, model):
    tn.save(path, model=model)
    return tn.load_model(path)


def first(y):
    return first(y[0]) if isinstance(y, tuple) else y


def test_every_layer_is_in_the_table():
    layers = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    assert {name: getattr(nn, name) for name in layers - {"Module"}} == architecture.KINDS


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_comes_back_equal(path, name):
    make, x = LAYERS[name]
    model = make(3)
    if type(model).__module__ == "tests.support.layers":
        model, x = model.layer, x if x.ndim == 3 or "Attention" in name else x[:, :, None]
    again = saved(path, model)
    alike(model, again)
    np.testing.assert_array_equal(first(again(x)).data, first(model(x)).data, strict=True)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dense(2, 3, bias=False, dtype=np.float64, init=nn.init.ones()),
        nn.BatchNorm(3, eps=0.1, momentum=0.25, dtype=np.float16),
        nn.GroupNorm(2, 4, eps=0.5),
        nn.LayerNorm(3, eps=0.2, bias=False),
        nn.RMSNorm(3, eps=0.3),
        nn.RMSNorm(np.int64(3)),
        nn.Embedding(5, 2, dtype=np.float64),
        nn.MultiheadAttention(4, 2, bias=False),
        nn.LSTM(2, 3, num_layers=2, bidirectional=True, bias=False),
        nn.Conv1d(4, 6, 3, stride=2, padding=((1, 0),), dilation=2, groups=2),
        nn.Conv2d(1, 2, (3, 1), padding="same", bias=False),
        nn.Conv3d(1, 2, 1, stride=(1, 2, 3)),
        nn.ConvTranspose2d(2, 4, 2, stride=2, output_padding=(1, 0), groups=2),
        nn.MaxPool2d((2, 3), (1, 2), 1),
        nn.AvgPool2d(3, 2, 1, False),
        nn.Dropout(0.25, rng=3),
        nn.GELU("tanh"),
        nn.LeakyReLU(0.3),
        nn.ELU(2.0),
        nn.Softmax(axis=1),
        nn.LogSoftmax(0),
    ],
    ids=repr,
)
def test_settings_come_back(path, layer):
    alike(layer, saved(path, layer))


def test_a_model_comes_back_with_its_nesting_its_modes_and_what_is_frozen(path):
    model = nn.Sequential(
        nn.Dense(3, 4, rng=0),
        nn.Residual(nn.Sequential(nn.BatchNorm(4), nn.Tanh(), nn.Dense(4, 4, rng=1))),
        nn.Sequential(),
        nn.Dense(4, 2, rng=2),
    )
    model(X)
    model[0].weight.requires_grad = False
    model[1].eval()
    again = saved(path, model)
    alike(model, again)
    assert (again.training, again[1].training, again[1].module[1].training) == (True, False, False)
    np.testing.assert_array_equal(again(X).data, model(X).data)


def test_what_is_used_twice_is_built_once(path):
    layer = nn.Dense(3, 3, rng=0)
    model = nn.Sequential(layer, nn.Residual(layer), nn.Residual(nn.Sequential(nn.ReLU(), layer)), layer)
    again = saved(path, model)
    alike(model, again)
    assert again[0] is again[1].module is again[2].module[1] is again[3]


def test_a_model_nested_deeper_than_python_calls_comes_back(path):
    model = nn.Dense(2, 2, rng=0)
    for _ in range(2_000):
        model = nn.Residual(model)
    assert sum(1 for _ in saved(path, model).named_modules()) == 2_001


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_dropout_goes_on_where_it_was_with_a_generator_of_its_kind_shared_where_it_was(path, kind):
    shared = np.random.Generator(kind(5))
    model = nn.Sequential(nn.Dropout(0.5, rng=shared), nn.Dropout(0.1, rng=7), nn.Dropout(0.5, rng=shared))
    x = np.ones((20, 3), np.float32)
    model(x)
    again = saved(path, model)
    assert again[0].rng is again[2].rng is not again[1].rng
    for _ in range(3):
        np.testing.assert_array_equal(again(x).data, model(x).data)


class Block(nn.Module):
    """A class of one's own."""

    def __init__(self, rng):
        self.inner = nn.Dense(3, 3, rng=rng)

    def forward(self, x):
        return self.inner(x)


class Dense(nn.Dense):
    """Another class of the same name."""


def tied():
    model = nn.Sequential(nn.Dense(3, 3, rng=0), nn.Dense(3, 3, rng=1))
    model[1].weight = model[0].weight
    return model


def changed(name, value):
    model = nn.Sequential(nn.Dense(3, 3, rng=0), nn.ReLU())
    setattr(model[0], name, value)
    return model


def in_itself():
    model = nn.Sequential(nn.Dense(3, 3, rng=0))
    return model.append(nn.Residual(model))


@pytest.mark.parametrize(
    ("make", "reasons"),
    [
        (lambda: Block(0), ["Block is no layer of tinygrad_nn.nn"]),
        (
            lambda: nn.Sequential(Block(0), np.tanh, nn.Residual(Dense(3, 3, rng=0))),
            [
                "0: Block is no layer of tinygrad_nn.nn",
                "2.module: Dense is no layer of tinygrad_nn.nn",
                "modules of Sequential is tanh, which cannot be told without its code",
            ],
        ),
        (tied, ["1.weight: shared, or of another shape or dtype than a new one"]),
        (lambda: changed("forward", lambda x: x), ["0: the attribute forward, which a new one has not"]),
        (lambda: changed("scale", np.ones(3)), ["0: the attribute scale, which a new one has not"]),
        (lambda: changed("in_features", 0), ["in_features is a positive integer, got 0"]),
        (lambda: changed("in_features", "a"), ["in_features is a positive integer, got 'a'"]),
        (lambda: changed("bias", None), None),
        (in_itself, ["module of Residual is Sequential, which cannot be told"]),
    ],
)
def test_of_what_cannot_be_told_the_weights_are_saved_and_the_error_names_it(path, make, reasons):
    model = make()
    tn.save(path, model=model)
    twin = make()
    for p in twin.parameters():
        p.data = p.data + 1
    tn.load(path, model=twin)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(twin.state_dict()[name], array)
    if reasons is None:
        alike(model, tn.load_model(path))
        return
    with pytest.raises(CheckpointError, match="the file does not tell how to build the model:\n") as caught:
        tn.load_model(path)
    for reason in reasons:
        assert reason in str(caught.value)
    assert str(caught.value).endswith(
        "hint   tn.load(path, model=model), with a model made as the one that was saved"
    )


class Kept:
    """Has a state, and is no module."""

    def state_dict(self):
        return {"weight": np.ones(3)}

    def load_state_dict(self, state):
        self.state = state


def test_files_without_a_model_have_todays_format_and_say_that_they_tell_of_none(path):
    tn.save(path, model=Kept(), epoch=3)
    assert b"architecture" not in path.read_bytes()
    assert tn.load(path, model=Kept()) == {"epoch": 3}
    with pytest.raises(CheckpointError, match="the model in it was saved without telling how it is built"):
        tn.load_model(path)
    tn.save(path, net=nn.Dense(2, 3), epoch=3)
    with pytest.raises(
        CheckpointError, match=r"there is no model in it; there is net, epoch\n  hint   tn.save"
    ):
        tn.load_model(path)


def test_numbers_that_are_not_finite_come_back_only_when_wanted(path):
    model = nn.Dense(2, 3, rng=0)
    model.weight.data = np.full((2, 3), np.nan, np.float32)
    tn.save(path, model=model, losses=[float("inf")])
    with pytest.raises(CheckpointError, match="NaN or infinities in model.weight"):
        tn.load_model(path)
    alike(model, tn.load_model(path, allow_nonfinite=True))


def test_other_parts_of_the_file_do_not_matter(path):
    model = nn.Sequential(nn.Dense(3, 2, rng=0))
    optimizer = tn.optim.Adam(model.parameters())
    tn.save(path, model=model, optimizer=optimizer, rng=np.random.default_rng(0), epoch=7, last=float("nan"))
    alike(model, tn.load_model(path))
