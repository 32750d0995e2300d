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
    state = torch_state(model, **options)
    arrays = {name: RNG.normal(size=a.shape).astype(a.dtype) for name, a in state.items()}
    arrays |= {name: np.abs(a) for name, a in arrays.items() if name.endswith("running_var")}
    return {name: a for name, a in arrays.items() if not name.endswith("num_batches_tracked")}


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


CONVOLUTIONS = [
    (kind, f"{kind}{rank}d", rank, groups)
    for kind in ("Conv", "ConvTranspose")
    for rank in (1, 2, 3)
    for groups in (1, 2)
]


@pytest.mark.parametrize(("kind", "name", "rank", "groups"), CONVOLUTIONS)
def test_kernels_are_turned_and_come_back(kind, name, rank, groups):
    space = (2, 3, 4)[:rank]
    layer = getattr(nn, name)(4, 6, space, groups=groups, rng=0)
    state = arrays_of(layer)
    # In PyTorch a transposed convolution has the channels that it reads first.
    first, second = (6, 4) if kind == "Conv" else (4, 6)
    assert state["weight"].shape == (first, second // groups, *space)
    load_torch(layer, state)
    place = tuple(k - 1 for k in space)
    np.testing.assert_array_equal(layer.weight.data[place], state["weight"][(..., *place)].T)
    assert all(np.array_equal(state[name], a) for name, a in torch_state(layer).items())


def test_averages_are_carried_over_and_counts_of_batches_are_zero():
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm(3), nn.GroupNorm(3, 3))
    state = torch_state(model)
    names = (
        "0.weight 0.bias 1.weight 1.bias 1.running_mean 1.running_var 1.num_batches_tracked 2.weight 2.bias"
    )
    assert list(state) == names.split()
    count = state["1.num_batches_tracked"]
    assert (count.shape, count.dtype, count) == ((), np.int64, 0)
    load_torch(model, state | {"1.running_var": np.float32([2, 3, 4])})
    np.testing.assert_array_equal(model[1].running_var, [2, 3, 4])


def test_attention_and_tables_have_the_names_of_pytorch():
    class Reader(nn.Module):
        def __init__(self):
            self.table, self.attention = nn.Embedding(5, 4), nn.MultiheadAttention(4, 2)

        def forward(self, ids):
            return self.attention(self.table(ids))

    model = Reader()
    state = arrays_of(model)
    assert {name: a.shape for name, a in state.items()} == {
        "table.weight": (5, 4),
        "attention.in_proj_weight": (12, 4),
        "attention.in_proj_bias": (12,),
        "attention.out_proj.weight": (4, 4),
        "attention.out_proj.bias": (4,),
    }
    load_torch(model, state)
    np.testing.assert_array_equal(model.table.weight.data, state["table.weight"])
    np.testing.assert_array_equal(
        model.attention.in_proj_weight.data[:, 4:8], state["attention.in_proj_weight"][4:8].T
    )
    np.testing.assert_array_equal(model.attention.out_proj.weight.data, state["attention.out_proj.weight"].T)


def in_order(a, channels):
    """Put rows that are (channels, places), flat, as they are here: places first."""
    return a.reshape(channels, -1, *a.shape[1:]).swapaxes(0, 1).reshape(a.shape)


IMAGES = {
    "a convolution": ((8, 8, 3), lambda: [nn.Conv2d(3, 5, 3)]),
    "over one axis": ((8, 3), lambda: [nn.Conv1d(3, 5, 3)]),
    "what is behind it": (
        (8, 8, 3),
        lambda: [nn.Conv2d(3, 5, 3), nn.BatchNorm(5), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)],
    ),
    "a transposed one": ((2, 2, 3), lambda: [nn.Sequential(nn.ConvTranspose2d(3, 5, 2), nn.GELU())]),
    "a residual": (
        (4, 4, 3),
        lambda: [
            nn.Conv2d(3, 5, 3),
            nn.Residual(nn.Sequential(nn.Conv2d(5, 7, 1), nn.Tanh(), nn.Conv2d(7, 5, 1))),
        ],
    ),
    "a norm": ((2, 2, 5), lambda: [nn.GroupNorm(5, 5)]),
}


@pytest.mark.parametrize("name", IMAGES)
def test_layers_tell_how_a_sequential_flattens(name):
    shape, layers = IMAGES[name]
    images = nn.Sequential(*layers())
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    features = images.eval()(x)[0].size
    model = nn.Sequential(
        images, nn.Flatten(), nn.ReLU(), nn.Dense(features, features), nn.Dense(features, features)
    )
    state = arrays_of(model)
    # Both ways to find out, the layers and an example.
    for example in (None, x[:1]):
        load_torch(model, state, example=example)
        np.testing.assert_array_equal(model[3].weight.data, in_order(state["3.weight"].T, 5))
        np.testing.assert_array_equal(model[4].weight.data, state["4.weight"].T)
        back = torch_state(model, example=example)
        assert all(np.array_equal(back[name], a) for name, a in state.items())


def test_norms_of_flattened_images_have_their_features_in_our_order():
    layers = nn.LayerNorm(20), nn.BatchNorm(20), nn.RMSNorm(20), nn.Dense(20, 2)
    model = nn.Sequential(nn.Conv2d(1, 5, 2), nn.Flatten(), *layers)
    state = arrays_of(model)
    for example in (None, np.ones((2, 3, 3, 1), np.float32)):
        load_torch(model, state, example=example)
        for name, a in model.state_dict().items():
            if name[0] in "234":
                np.testing.assert_array_equal(a, in_order(state[name], 5))
        np.testing.assert_array_equal(model[5].weight.data, in_order(state["5.weight"].T, 5))
        back = torch_state(model, example=example)
        assert all(np.array_equal(back[name], a) for name, a in state.items())


class Sequences(nn.Module):
    """Steps, made by a layer, that are flattened."""

    def __init__(self, layer):
        self.layer, self.last = layer, nn.Dense(15, 2, rng=0)

    def forward(self, x):
        y = self.layer(tn.as_tensor(x))
        y = y[0] if isinstance(y, tuple) else y
        return self.last(np.tanh(y.reshape(len(y), -1)))


def channels_first(x):
    """Lie as in PyTorch, by hand."""
    return np.swapaxes(nn.Conv1d(3, 3, 1, rng=0)(x), 1, 2)


@pytest.mark.parametrize(
    ("layer", "turned"),
    [
        (nn.Conv1d(3, 3, 1), True),
        (nn.Sequential(nn.Conv1d(3, 3, 1), nn.BatchNorm(3), nn.AvgPool1d(1)), True),
        (nn.LSTM(3, 3), False),
        (nn.MultiheadAttention(3, 1), False),
        (nn.Sequential(nn.Conv1d(3, 3, 1), nn.Dense(3, 3)), False),
        (nn.Sequential(nn.Conv1d(3, 3, 1), nn.MultiheadAttention(3, 1), nn.LayerNorm(3)), False),
        (nn.Identity(), False),
        (channels_first, False),
        (lambda x: np.transpose(channels_first(x), (0, 2, 1)), False),
    ],
)
def test_the_layer_that_made_steps_tells_how_they_are_flattened(layer, turned):
    model, x = Sequences(layer), np.ones((2, 5, 3), np.float32)
    state = arrays_of(model, example=x)
    load_torch(model, state, example=x)
    rows = state["last.weight"].T
    np.testing.assert_array_equal(model.last.weight.data, in_order(rows, 3) if turned else rows)


def test_without_an_example_it_is_said_that_one_is_needed():
    model = nn.Sequential(nn.Flatten(), nn.Dense(30, 4))
    before = model.state_dict()
    for call in (lambda: torch_state(model), lambda: load_torch(model, {})):
        with pytest.raises(
            CheckpointError, match=r"what Dense\(30 -> 4\) reads may be flattened(.|\n)*example=x\[:1\]"
        ):
            call()
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


@pytest.mark.parametrize(
    ("model", "who"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), tn.relu, nn.Flatten(), nn.Dense(8, 3)), r"Dense\(8 -> 3\) reads"),
        (nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.BatchNorm(8)), r"BatchNorm\(8\) reads"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), Images()), "Dense layers in Images read"),
        (Sequences(nn.Conv1d(3, 3, 1)), "Dense layers in Sequences read"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Residual(Images())), "Dense layers in Images read"),
    ],
)
def test_forwards_of_ones_own_need_an_example_where_images_come_to_a_dense(model, who):
    with pytest.raises(CheckpointError, match=rf"what {who} may be flattened images"):
        torch_state(model)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 2, 3), tn.relu, nn.Conv2d(2, 3, 3), nn.GlobalAvgPool(), nn.Dense(3, 2)),
        nn.Sequential(tn.relu, nn.Dense(3, 2), nn.Flatten(), Images()),
        nn.Sequential(nn.Conv2d(1, 2, 3), np.tanh),
        Images(),
    ],
)
def test_what_flattens_no_images_needs_no_example(model):
    load_torch(model, arrays_of(model))


class Joined(nn.Module):
    """Flattened images beside something else."""

    def __init__(self, last):
        self.layer, self.last = nn.Conv2d(1, 2, 1, rng=0), last

    def forward(self, x):
        y = self.layer(x).reshape(len(x), -1)
        return self.last(np.concatenate([y, y], axis=1) if isinstance(self.last, nn.Dense) else y)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Joined(nn.Dense(16, 2)), r"Dense\(16 -> 2\) reads features of flattened images and others that lie"),
        (Joined(nn.GroupNorm(2, 8)), r"GroupNorm\(2, 8\) reads groups of features that lie"),
    ],
)
def test_features_that_cannot_be_put_in_order_are_refused(model, message):
    with pytest.raises(CheckpointError, match=rf"{message}(.|\n)*hint   np.moveaxis\(x, -1, 1\)"):
        load_torch(model, {}, example=np.ones((1, 2, 2, 1), np.float32))


def test_features_that_no_images_make_are_refused():
    with pytest.raises(CheckpointError, match="images of 3 channels, which do not make 10 features"):
        torch_state(nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Dense(10, 2)))


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
    for start in ("module.", "backbone.net."):
        state = {f"{start}{name}": a for name, a in arrays_of(perceptron()).items()}
        with pytest.raises(
            CheckpointError, match=rf'hint   \{{name.removeprefix\("{start}"\): a for name, a in'
        ):
            load_torch(perceptron(), state)


class Elsewhere:
    """A tensor of PyTorch that has no data, as those on the device "meta"."""

    def detach(self):
        return self

    def cpu(self):
        raise NotImplementedError("there is no data")


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
        (
            lambda state: load_torch(nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3).state_dict()),
            CheckpointError,
            r"\(3, 3, 1, 2\), expected \(2, 1, 3, 3\)\n  hint   model.load_state_dict\(state\)",
        ),
        (
            lambda state: load_torch(perceptron(), {f"fc.{k}": a for k, a in enumerate(state.values())}),
            CheckpointError,
            r"missing     0.weight(.|\n)*hint   dict\(zip\(torch_state\(model\), state.values\(\), strict=True\)\)",
        ),
        (
            lambda state: load_torch(perceptron(), {name: a.astype(float) for name, a in state.items()}),
            CheckpointError,
            r"float64, expected float32\n  hint   \{name: np.asarray\(a, np.float32\) for .* own dtype=",
        ),
        (lambda state: load_torch(perceptron(), {"model": state}), CheckpointError, r"state\['model'\]"),
        (
            lambda state: load_torch(
                perceptron(), {"adam": {"param_groups": []}, "net": perceptron(), "n": 3}
            ),
            CheckpointError,
            r"more by name in 'net'\n  hint   load_torch\(model, state\['net'\]\)",
        ),
        (
            lambda state: load_torch(perceptron(), {"state": {}, "param_groups": []}),
            CheckpointError,
            r"one of an optimizer, which has no weights\n  hint   .*torch_model.state_dict\(\)",
        ),
        (
            lambda state: load_torch(perceptron(), {k: a for k, a in state.items() if k != "2.bias"}),
            CheckpointError,
            r"missing     2.bias\n  hint   bias=False for layers",
        ),
        (
            lambda state: load_torch(nn.Dense(1, 1), {"parametrizations.weight.original0": np.ones(1)}),
            CheckpointError,
            r"missing     weight(.|\n)*hint   torch.nn.utils.parametrize.remove_parametrizations\(",
        ),
        (
            lambda state: load_torch(perceptron(), state | {"0.bias": Elsewhere()}),
            CheckpointError,
            r"'0.bias' is a tensor that is no array of numbers: there is no data",
        ),
        (
            lambda state: load_torch(Elsewhere(), state),
            TypeError,
            r"a model of this library comes first, got \S+\.Elsewhere",
        ),
        (
            lambda state: load_torch(perceptron(), state | {"0.bias": np.ones(3, complex)}),
            CheckpointError,
            r"'0.bias' is no array of numbers, but ndarray of complex128",
        ),
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
