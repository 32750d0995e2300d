"""Weights of Keras 3: files in its layout, which Keras 3.15 itself has read; what it computed with them stands here."""

import sys

import h5py
import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.interop import load_keras


def written(path, seed=0, **groups):
    """Write a file as Keras does: a group for each layer, in it its arrays by number, drawn anew; return these."""
    rng = np.random.default_rng(seed)
    arrays = {}
    with h5py.File(path, "w") as file:
        file.create_group("vars").attrs["name"] = "sequential"
        for name, shapes in groups.items():
            place = "layers/" + name.replace("__", "/")
            layer = file.create_group(f"{place}/vars")
            layer.attrs["name"] = place.rpartition("/")[2]
            for k, shape in enumerate(shapes):
                values = rng.normal(size=shape).astype(np.float32) / 2
                # Variances.
                arrays[f"{place}/vars/{k}"] = layer[str(k)] = np.abs(values) if k == 3 else values
    return arrays


class Last(nn.Module):
    """The last outputs of a recurrent layer."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0][:, -1]


class Attending(nn.Module):
    """A model with layers as attributes, as those of Keras's functional models are put together here."""

    def __init__(self):
        self.attention = nn.MultiheadAttention(4, 2, rng=0)
        self.norm = nn.LayerNorm(4, eps=1e-3)

    def forward(self, x):
        return self.norm(self.attention(x) + x)


def inputs(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


FILES = {
    "an MLP": (
        {
            "batch_normalization": [(4,)] * 4,
            "dense": [(3, 4), (4,)],
            "dense_1": [(4, 2), (2,)],
            "dropout": [],
        },
        lambda: nn.Sequential(
            nn.Dense(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm(4, eps=1e-3), nn.Dense(4, 2)
        ),
        inputs(2, 3),
        [-0.68466008, 0.9837153, -0.69510591, 0.97216034],
    ),
    "a CNN": (
        {
            "batch_normalization": [(2,)] * 4,
            "conv2d": [(3, 3, 1, 2), (2,)],
            "conv2d_1": [(2, 2, 2, 3), (3,)],
            "dense": [(12, 2), (2,)],
            "depthwise_conv2d": [(1, 1, 3, 1), (3,)],
        },
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.BatchNorm(2, eps=1e-3),
            nn.Conv2d(2, 3, 2),
            nn.Conv2d(3, 3, 1, groups=3),
            nn.Flatten(),
            nn.Dense(12, 2),
        ),
        inputs(2, 6, 6, 1),
        [0.9733187, -0.87407166, 0.92194641, -0.92973816],
    ),
    "an LSTM": (
        {
            "embedding": [(5, 3)],
            "lstm__cell": [(3, 16), (4, 16), (16,)],
            "lstm_1__cell": [(4, 8), (2, 8), (8,)],
        },
        lambda: nn.Sequential(nn.Embedding(5, 3), nn.LSTM(3, 4), lambda r: r[0], Last(nn.LSTM(4, 2))),
        np.array([[0, 4, 2], [3, 3, 1]]),
        [0.12793285, -0.22239722, 0.11759515, -0.20916039],
    ),
    "a GRU": (
        {"gru__cell": [(3, 12), (4, 12), (2, 12)], "dense": [(4, 2), (2,)]},
        lambda: nn.Sequential(Last(nn.GRU(3, 4)), nn.Dense(4, 2)),
        inputs(2, 5, 3),
        [0.86058986, 0.17895618, 0.94654393, 0.16002673],
    ),
    "an RNN in both directions": (
        {
            "bidirectional__backward_layer__cell": [(3, 2), (2, 2), (2,)],
            "bidirectional__forward_layer__cell": [(3, 2), (2, 2), (2,)],
            "simple_rnn__cell": [(4, 2), (2, 2), (2,)],
        },
        lambda: nn.Sequential(nn.RNN(3, 2, bidirectional=True), lambda r: r[0], Last(nn.RNN(4, 2))),
        inputs(2, 5, 3),
        [0.05201589, -0.15435801, -0.53886968, -0.4619326],
    ),
    "attention": (
        {
            "layer_normalization": [(4,), (4,)],
            **{
                f"multi_head_attention__{name}_dense": [(4, 2, 2), (2, 2)]
                for name in ("query", "key", "value")
            },
            "multi_head_attention__output_dense": [(2, 2, 4), (4,)],
        },
        lambda: nn.Sequential(Attending(), nn.Flatten()),
        inputs(1, 2, 4),
        [-0.24727146, 0.19947407, 1.08669508, 0.40001214, -0.20043461, 0.28310403, 0.59935057, 0.50716889],
    ),
    "transposed": (
        {
            "conv2d_transpose": [(2, 2, 4, 3), (4,)],
            "group_normalization": [(4,), (4,)],
            "rms_normalization": [(4,)],
        },
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 4, 2, stride=2),
            nn.GroupNorm(2, 4, eps=1e-3),
            nn.RMSNorm(4, eps=1e-6),
            nn.GlobalAvgPool(),
        ),
        inputs(2, 2, 2, 3),
        [-0.09057034, -0.1840581, -1.40576649, 0.19718221, -0.09011666, -0.20723017, -1.38319457, 0.207601],
    ),
}
"""By name: the arrays of a file, the same model here, inputs, and what Keras computes of them."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.weights.h5"


@pytest.mark.parametrize("name", FILES)
def test_a_model_computes_what_keras_computes_with_its_weights(path, name):
    groups, make, x, expected = FILES[name]
    written(path, **groups)
    model = make()
    load_keras(model, path)
    np.testing.assert_allclose(model.eval()(x).data.ravel(), expected, rtol=0, atol=1e-6)


def test_layers_of_one_class_come_in_the_order_of_their_numbers_whatever_stands_between(path):
    arrays = written(path, **{f"dense_{k}" if k else "dense": [(2, 2)] for k in range(12)}, dropout_1=[])
    model = nn.Sequential(
        *[nn.Residual(nn.Sequential(nn.Dense(2, 2, bias=False), nn.ReLU())) for _ in range(12)]
    )
    load_keras(model, path)
    for k, layer in enumerate(model):
        name = f"dense_{k}" if k else "dense"
        np.testing.assert_array_equal(layer.module[0].weight.data, arrays[f"layers/{name}/vars/0"])


def test_numbers_may_have_gaps_and_what_is_used_twice_is_once_in_the_file(path):
    arrays = written(path, dense_3=[(2, 2), (2,)], dense_10=[(2, 2), (2,)])
    shared = nn.Dense(2, 2)
    load_keras(nn.Sequential(shared, nn.Dense(2, 2), shared), path)
    np.testing.assert_array_equal(shared.weight.data, arrays["layers/dense_3/vars/0"])


def test_models_inside_of_models_come_in_the_order_in_which_layers_were_made(path):
    arrays = written(path, dense=[(2, 2)], sequential__layers__dense=[(2, 2)])
    model = nn.Sequential(nn.Sequential(nn.Dense(2, 2, bias=False)), nn.Dense(2, 2, bias=False))
    with h5py.File(path, "a") as file:
        file["layers/sequential/layers/dense/vars"].attrs["name"] = "dense_7"
        file["layers/dense/vars"].attrs["name"] = "dense_8"
    load_keras(model, path)
    np.testing.assert_array_equal(model[1].weight.data, arrays["layers/dense/vars/0"])
    with h5py.File(path, "a") as file:
        file["layers/dense/vars"].attrs["name"] = "output"
    with pytest.raises(
        CheckpointError, match="the order of layers/dense, layers/sequential/layers/dense is not in"
    ):
        load_keras(model, path)


def test_layers_that_are_attributes_there_and_here_have_the_same_names(path):
    with h5py.File(path, "w") as file:
        first, second = (np.full((2, 2), k, np.float32) for k in (1, 2))
        file["block/first/vars/0"] = first
        file["layers/dense/vars/0"] = second

    class Block(nn.Module):
        def __init__(self):
            self.second = nn.Dense(2, 2, bias=False)
            self.block = nn.Module()
            self.block.first = nn.Dense(2, 2, bias=False)

    model = Block()
    load_keras(model, path)
    np.testing.assert_array_equal(model.block.first.weight.data, first)
    np.testing.assert_array_equal(model.second.weight.data, second)


def test_layers_on_top_of_each_other_are_as_many_of_keras(path):
    arrays = written(path, lstm__cell=[(3, 8), (2, 8)], lstm_1__cell=[(2, 8), (2, 8)])
    layer = nn.LSTM(3, 2, num_layers=2, bias=False)
    load_keras(layer, path)
    for k, name in enumerate(["lstm", "lstm_1"]):
        np.testing.assert_array_equal(
            getattr(layer, f"weight_hh_l{k}").data, arrays[f"layers/{name}/cell/vars/1"]
        )


def test_what_is_no_weight_of_a_layer_is_left_out_and_half_precision_is_cast_up(path):
    arrays = written(path, dense=[(2, 3), (3,)], dropout__seed_generator=[(2,)])
    with h5py.File(path, "a") as file:
        file["optimizer/vars/0"] = np.zeros(())
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = arrays["layers/dense/vars/0"].astype(np.float16)
    model = nn.Dense(2, 3)
    load_keras(model, path)
    np.testing.assert_array_equal(model.weight.data, arrays["layers/dense/vars/0"].astype(np.float16))
    assert model.weight.dtype == np.float32


def refused(model, path):
    """Return what loading says, which changes nothing."""
    before = {name: array.tobytes() for name, array in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_keras(model, path)
    assert {name: array.tobytes() for name, array in model.state_dict().items()} == before
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_a_wrong_architecture_is_named_whole(path):
    written(
        path,
        dense=[(4, 8), (8,)],
        dense_1=[(8, 2)],
        conv2d=[(3, 3, 1, 2), (2,)],
        separable_conv2d=[(2, 2, 4, 1), (1, 1, 4, 3)],
        batch_normalization=[(4,)] * 2,
    )

    class Wrong(nn.Module):
        def __init__(self):
            self.scale = tn.tensor(np.ones(3, np.float32), requires_grad=True)
            self.first, self.second = nn.Dense(4, 9), nn.Dense(8, 2)
            self.third = nn.Dense(2, 2)
            self.norm = nn.BatchNorm(4)

    assert refused(Wrong(), path).split("\n  ") == [
        "the weights do not fit this Wrong; nothing was changed",
        "missing     dense for third: Dense(2 -> 2)",
        "unexpected  layers/conv2d: (3, 3, 1, 2), (2,)",
        "unexpected  layers/separable_conv2d: (2, 2, 4, 1), (1, 1, 4, 3)",
        "shape       layers/dense: (4, 8), (8,), expected (4, 9), (9,) for first: Dense(4 -> 9)",
        "shape       layers/dense_1: (8, 2), expected (8, 2), (2,) for second: Dense(8 -> 2)",
        "shape       layers/batch_normalization: (4,), (4,), expected (4,), (4,), (4,), (4,) for norm: BatchNorm(4)",
        "missing     scale, of no layer of Keras",
    ]


def test_a_gru_of_another_formula_is_refused(path):
    written(path, gru__cell=[(3, 12), (4, 12), (12,)])
    message = refused(nn.GRU(3, 4), path)
    assert (
        "layers/gru: (3, 12), (4, 12), (12,), expected (3, 12), (4, 12), (2, 12) for GRU(3 -> 4)" in message
    )
    assert message.endswith("hint   a GRU with reset_after=False has another formula than nn.GRU")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04", "not a HDF5 file"),
        (b"", "not a HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "damaged"),
    ],
)
def test_other_files_are_refused(path, content, message):
    path.write_bytes(content)
    assert refused(nn.Dense(2, 2), path).startswith(message)


def test_files_of_keras_2_and_of_other_programs_are_refused(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["dense"]
    assert "one of Keras 2" in refused(nn.Dense(2, 2), path)
    with h5py.File(path, "w") as file:
        file["dense/kernel"] = np.zeros((2, 2))
    assert "the array dense/kernel is none of a layer of Keras 3\n  hint   in Keras 3" in refused(
        nn.Dense(2, 2), path
    )


def test_arrays_that_lie_in_other_files_are_not_read(path, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (2, 2), "f4", external=[(tmp_path / "secret", 0, 16)])
    assert "layers/dense/vars/0 lies in another file" in refused(nn.Dense(2, 2, bias=False), path)
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink("other.h5", "/x")
    assert "missing     dense for Dense" in refused(nn.Dense(2, 2, bias=False), path)


@pytest.mark.parametrize("dtype", ["f8", "i4", "S3"])
def test_arrays_of_another_dtype_are_refused(path, dtype):
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((2, 2), dtype)
    assert "dtype       weight: " in refused(nn.Dense(2, 2, bias=False), path)


def test_a_file_that_is_not_there_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        load_keras(nn.Dense(2, 2), path)


def test_without_h5py_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_nn\[keras\]'"):
        load_keras(nn.Dense(2, 2), path)
