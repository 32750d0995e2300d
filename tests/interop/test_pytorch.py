"""Weights by PyTorch's names: turned as each layer has them, all or none, and what is refused."""

import json

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.interop import load_torch, torch_state

RNG = np.random.default_rng(0)


def perceptron(rng=0):
    return nn.Sequential(nn.Dense(3, 3, rng=rng), nn.Tanh(), nn.Dense(3, 2, rng=rng))


def arrays_of(model, **options):
    return {
        name: RNG.normal(size=a.shape).astype(np.float32) for name, a in torch_state(model, **options).items()
    }


def written(path, tensors, metadata=None):
    """Write a safetensors file of {name: (dtype, shape, bytes)}."""
    header, content = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(content), len(content) + len(data)],
        }
        content += data
    if metadata:
        header["__metadata__"] = metadata
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + content)
    return path


def test_weights_of_dense_are_turned_square_ones_too():
    model, state = perceptron(), arrays_of(perceptron())
    assert state["2.weight"].shape == (2, 3)
    load_torch(model, state)
    np.testing.assert_array_equal(model[0].weight.data, state["0.weight"].T)
    np.testing.assert_array_equal(model[2].weight.data, state["2.weight"].T)
    np.testing.assert_array_equal(model[2].bias.data, state["2.bias"])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_are_turned_and_come_back(kind):
    layer = kind(3, 4, 2, True, rng=0)
    state = arrays_of(layer)
    load_torch(layer, state)
    for name, a in state.items():
        np.testing.assert_array_equal(getattr(layer, name).data, a.T)
    back = torch_state(layer)
    assert list(back) == list(state)
    assert all(np.array_equal(back[name], state[name]) and back[name].flags.c_contiguous for name in state)


def test_a_class_derived_from_a_layer_is_turned_as_that_and_arrays_of_ones_own_are_not():
    class Scaled(nn.Dense):
        def __init__(self):
            super().__init__(2, 2, rng=0)
            self.scale = tn.tensor(np.ones((2, 3), np.float32), requires_grad=True)

    model = Scaled()
    state = arrays_of(model)
    load_torch(model, state)
    np.testing.assert_array_equal(model.weight.data, state["weight"].T)
    np.testing.assert_array_equal(model.scale.data, state["scale"])


class Images(nn.Module):
    """Flattens in its own forward, with an activation in between."""

    def __init__(self):
        self.first = nn.Dense(2 * 3 * 5, 4, rng=0)
        self.last = nn.Dense(4, 2, rng=1)

    def forward(self, x):
        x = tn.as_tensor(x)
        return self.last(np.tanh(self.first(tn.relu(x.reshape(len(x), -1)))))


def by_hand(state, x, names):
    """Compute Images as PyTorch does: channels first, then flat, weights (out, in)."""
    flat = np.maximum(np.moveaxis(x, -1, 1).reshape(len(x), -1), 0)
    hidden = np.tanh(flat @ state[f"{names[0]}.weight"].T + state[f"{names[0]}.bias"])
    return hidden @ state[f"{names[1]}.weight"].T + state[f"{names[1]}.bias"]


def test_what_reads_flattened_images_has_its_rows_in_our_order():
    x = RNG.normal(size=(4, 2, 3, 5)).astype(np.float32)
    sequential = nn.Sequential(
        nn.Flatten(), nn.ReLU(), nn.Dense(30, 4, rng=0), nn.Tanh(), nn.Dense(4, 2, rng=1)
    )
    for model, names in ((Images(), ("first", "last")), (sequential, ("2", "4"))):
        state = arrays_of(model, example=x[:1])
        load_torch(model, state, example=x[:1])
        np.testing.assert_allclose(model(x).data, by_hand(state, x, names), rtol=2e-5, atol=1e-6)
        for name, a in torch_state(model, example=x[:1]).items():
            np.testing.assert_array_equal(a, state[name])


def test_layers_with_channels_tell_how_a_sequential_flattens(monkeypatch):
    class Convolution(nn.Module):
        def forward(self, x):
            return x

    monkeypatch.setitem(tn.interop.turns.CHANNELS, Convolution, lambda layer: 5)
    x = RNG.normal(size=(4, 2, 3, 5)).astype(np.float32)
    layers = nn.Flatten(), nn.ReLU(), nn.Dense(30, 4, rng=0), nn.Tanh(), nn.Dense(4, 2, rng=1)
    model = nn.Sequential(Convolution(), nn.Sequential(*layers))
    state = arrays_of(model)
    load_torch(model, state)
    np.testing.assert_allclose(model(x).data, by_hand(state, x, ("1.2", "1.4")), rtol=2e-5, atol=1e-6)


def test_without_an_example_it_is_said_that_one_is_needed():
    model = nn.Sequential(nn.Flatten(), nn.Dense(30, 4))
    before = model.state_dict()
    for call in (lambda: torch_state(model), lambda: load_torch(model, {})):
        with pytest.raises(
            CheckpointError, match=r"Dense\(30 -> 4\) reads is flattened(.|\n)*example=x\[:1\]"
        ):
            call()
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


def test_all_that_does_not_fit_is_told_at_once_in_the_shapes_of_pytorch_and_nothing_changes():
    model = perceptron()
    before = model.state_dict()
    state = arrays_of(model) | {"2.weight": np.ones((3, 2), np.float32), "3.bias": np.ones(1)}
    state["0.bias"] = state["0.bias"].astype(np.float64)
    del state["2.bias"]
    with pytest.raises(CheckpointError) as caught:
        load_torch(model, state)
    assert str(caught.value).splitlines() == [
        "the state does not fit this Sequential; nothing was changed",
        "  missing     2.bias",
        "  unexpected  3.bias",
        "  dtype       0.bias: float64, expected float32",
        "  shape       2.weight: (3, 2), expected (2, 3)",
    ]
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


def test_half_precision_is_cast_up_and_counts_of_batches_are_left_out():
    model = perceptron()
    state = {name: a.astype(np.float16) for name, a in arrays_of(model).items()}
    load_torch(model, state | {"1.num_batches_tracked": np.array(3)})
    np.testing.assert_array_equal(model[0].weight.data, state["0.weight"].T.astype(np.float32))
    assert model[0].weight.dtype == np.float32


class Tied(nn.Module):
    """One matrix under two names."""

    def __init__(self):
        self.a, self.b = nn.Dense(2, 2, rng=0), nn.Dense(2, 2, rng=1)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))


def test_what_is_shared_has_all_of_its_names_and_one_value():
    model = Tied()
    state = torch_state(model)
    assert list(state) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    load_torch(model, state)
    load_torch(model, {name: a for name, a in state.items() if name != "b.weight"})
    with pytest.raises(CheckpointError, match=r"differs     b.weight: it is a.weight too, with other values"):
        load_torch(model, state | {"b.weight": state["b.weight"] + 1})


def test_safetensors_files_are_read(tmp_path):
    state = arrays_of(perceptron())
    upper = {name: a.view(np.uint32) >> 16 for name, a in state.items()}
    files = {
        "single": {name: ("F32", list(a.shape), a.tobytes()) for name, a in state.items()},
        "brain": {
            name: ("BF16", list(state[name].shape), a.astype("<u2").tobytes()) for name, a in upper.items()
        },
    }
    for name, tensors in files.items():
        model = perceptron()
        load_torch(model, written(tmp_path / f"{name}.safetensors", tensors, {"format": "pt"}))
        np.testing.assert_allclose(
            model[0].weight.data, state["0.weight"].T, rtol=0 if name == "single" else 2**-7
        )


def test_files_of_safetensors_itself_are_read(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    state = arrays_of(perceptron())
    save_file(state, tmp_path / "model.safetensors")
    model = perceptron()
    load_torch(model, str(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(model[0].weight.data, state["0.weight"].T)


def test_pickles_are_refused_by_name_with_the_lines_to_write(tmp_path):
    for name, content in (
        ("model.pt", b""),
        ("model.pth", b"PK\3\4"),
        ("weights", b"PK\3\4"),
        ("old", b"\x80\2}"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            CheckpointError, match=rf"{name} is a pickle(.|\n)*torch.load\((.|\n)*save_file\(state, "
        ):
            load_torch(perceptron(), tmp_path / name)


def test_other_files_and_damaged_ones_are_refused(tmp_path):
    one = {"0.bias": ("F32", [3], bytes(12))}
    good = written(tmp_path / "good.safetensors", one).read_bytes()
    damaged = [
        b"",
        b"hello, world",
        good[:-1],
        good[:20],
        good.replace(b"F32", b"F99"),
        good.replace(b"[3]", b"[4]"),
    ]
    damaged += [
        good.replace(b"[0, 12]", b"[-1,11]"),
        b"\2\0\0\0\0\0\0\0[]",
        good.replace(b'"shape"', b'"shade"'),
    ]
    for content in damaged:
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"bad.safetensors: no safetensors file, or a damaged one"):
            load_torch(perceptron(), tmp_path / "bad.safetensors")
    tn.save(tmp_path / "ours.safetensors", model=perceptron())
    with pytest.raises(CheckpointError, match=r"written by tn.save\n  hint   tn.load\("):
        load_torch(perceptron(), tmp_path / "ours.safetensors")
    with pytest.raises(FileNotFoundError):
        load_torch(perceptron(), tmp_path / "none.safetensors")


def test_names_with_something_in_front_get_the_line_that_takes_it_away():
    state = {f"module.{name}": a for name, a in arrays_of(perceptron()).items()}
    with pytest.raises(
        CheckpointError, match=r'hint   \{name.removeprefix\("module."\): a for name, a in state'
    ):
        load_torch(perceptron(), state)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda state: load_torch(state, perceptron()),
            TypeError,
            r"a model of this library comes first, got dict",
        ),
        (
            lambda state: load_torch(perceptron(), list(state)),
            TypeError,
            r"got list\n  hint   .*state_dict\(\)",
        ),
        (
            lambda state: torch_state(state),
            TypeError,
            r"comes first, got dict\n  hint   .*torch_state\(model\)",
        ),
        (
            lambda state: load_torch(nn.Dense(2, 3), nn.Dense(2, 3).state_dict()),
            CheckpointError,
            r"shape       weight: \(2, 3\), expected \(3, 2\)\n  hint   model.load_state_dict\(state\)",
        ),
        (lambda state: load_torch(perceptron(), {"model": state}), CheckpointError, r"state\['model'\]"),
        (
            lambda state: load_torch(perceptron(), state | {"0.bias": "x"}),
            CheckpointError,
            "'0.bias' is no array",
        ),
    ],
)
def test_what_is_no_state_is_refused_with_what_to_write(call, error, message):
    with pytest.raises(error, match=message):
        call(arrays_of(perceptron()))


def test_a_failed_load_leads_here(tmp_path):
    state = arrays_of(perceptron())
    with pytest.raises(
        CheckpointError, match=r"\n  hint   tn.interop.load_torch\(model, state\) turns weights"
    ):
        perceptron().load_state_dict(state)
    with pytest.raises(CheckpointError) as caught:
        perceptron().load_state_dict(torch_state(nn.Dense(3, 3)))
    assert "interop" not in str(caught.value)
    file = written(
        tmp_path / "f.safetensors", {name: ("F32", list(a.shape), a.tobytes()) for name, a in state.items()}
    )
    with pytest.raises(CheckpointError, match=r"hint   tn.interop.load_torch\(model, path\)"):
        tn.load(file, model=perceptron())
