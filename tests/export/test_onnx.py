"""Models and ops in ONNX give in onnxruntime what they give here."""

import numpy as np
import pytest

import tinygrad_nn as tn
from examples.shakespeare import GPT
from tests.support.op_calls import calls_of, in_one_function
from tinygrad_nn import errors, nn
from tinygrad_nn.primitives import REGISTRY, Primitive

pytest.importorskip("onnx", reason="extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="extra test")

RNG = np.random.default_rng(0)

NOT_THERE = {
    **dict.fromkeys(
        ("cholesky", "cofactors", "inv", "solve"), "ONNX has no operators of linear algebra but Det"
    ),
    **dict.fromkeys(
        ("cofactor_change", "pinv", "q_and_r", "singular_values_and_vectors", "values_and_vectors"),
        "the same, added since",
    ),
    **dict.fromkeys(
        ("bessel_i", "digamma", "erfcx", "erfinv", "gammaln", "i0", "i1", "log_ndtr", "polygamma"),
        "ONNX has no special functions but Erf, of which these cannot be made to the last places",
    ),
    "sinc_derivative": "the gradient of sinc near 0 is a series",
    **dict.fromkeys(
        ("gru_back", "gru_gates", "lstm_back", "lstm_gates", "rnn_back"),
        "ONNX has the forward pass of recurrent networks alone",
    ),
}
"""Differentiable ops that opset 20 cannot express, with the reason."""

FIXED = ("set_at", "get_written")
"""Their indices have to be constant: ONNX does not say which of two values for one place stays."""

SEQUENCES = ("lstm_states", "gru_states", "rnn_states")
"""Parts of layers, which are checked as such."""

OPS = sorted(
    {op.name for op in REGISTRY.values() if isinstance(op, Primitive) and op.differentiable} - {*SEQUENCES}
)


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model, *arrays):
    """Return what onnxruntime makes of a model, given its inputs in order."""
    runner = session(model)
    return runner.run(None, {i.name: array for i, array in zip(runner.get_inputs(), arrays, strict=True)})


def single(x):
    return x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x


def all_calls(op):
    """Return one function that makes all calls of an op's own samples, in float32, and its arguments."""

    def is_input(x):
        return isinstance(x, np.ndarray) and (op.name not in FIXED or x.dtype.kind == "f")

    calls = [
        (tuple(map(single, operands)), params) for operands, params in calls_of(op, np.random.default_rng(0))
    ]
    return in_one_function(op, calls, is_input)


@pytest.mark.parametrize("name", OPS)
def test_an_op_gives_the_same_in_onnxruntime(name):
    op = REGISTRY[name]
    function, arrays = all_calls(op)
    if name in NOT_THERE:
        with pytest.raises(errors.ExportError, match=rf"{name} has no converter to ONNX\n  in "):
            tn.export.onnx(function, arrays, dynamic=False)
        return
    model = tn.export.onnx(function, arrays, dynamic=False)
    for mine, theirs in zip(function(*arrays), run(model, *arrays), strict=True):
        mine = np.asarray(mine)
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-5)


def test_what_has_no_operator_is_an_op_of_ours():
    assert set(NOT_THERE) <= set(OPS)


class Reader(nn.Module):
    """Characters, a recurrent layer, and scores of the last output."""

    def __init__(self, kind, **settings):
        self.table = nn.Embedding(11, 6, rng=0)
        self.memory = getattr(nn, kind)(6, 8, rng=0, **settings)
        self.scores = nn.Dense(16 if settings.get("bidirectional") else 8, 3, rng=1)

    def forward(self, ids):
        outputs, _ = self.memory(self.table(ids))
        return self.scores(outputs[:, -1])


def images(*shape):
    return lambda count: RNG.normal(size=(count, *shape)).astype(np.float32)


def ids(steps):
    return lambda count: RNG.integers(0, 11, (count, steps))


def lenet():
    layers = [nn.Conv2d(1, 6, 5, padding=2, rng=0), nn.BatchNorm(6), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 8, 3, stride=2, groups=2, rng=0), nn.GELU(), nn.AvgPool2d(2, padding=1)]
    return nn.Sequential(*layers, nn.Dropout(0.4, rng=0), nn.Flatten(), nn.Dense(4 * 4 * 8, 10, rng=0))


MODELS = {
    "an MLP": lambda: (
        nn.Sequential(nn.Dense(5, 8, rng=0), nn.Sigmoid(), nn.Dense(8, 3, rng=1), nn.Softmax()),
        images(5),
    ),
    "a convolutional network": lambda: (lenet(), images(28, 28, 1)),
    "norms and an average": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, rng=0),
            nn.GroupNorm(2, 8),
            nn.SiLU(),
            nn.GlobalAvgPool(),
            nn.LayerNorm(8),
        ),
        images(8, 8, 3),
    ),
    "a transposed convolution": lambda: (nn.ConvTranspose2d(3, 4, 3, stride=2, rng=0), images(4, 4, 3)),
    "an LSTM": lambda: (Reader("LSTM"), ids(7)),
    "two LSTMs in both directions": lambda: (Reader("LSTM", num_layers=2, bidirectional=True), ids(7)),
    "a GRU": lambda: (Reader("GRU"), ids(7)),
    "a plain recurrent network": lambda: (Reader("RNN"), ids(7)),
    "a transformer": lambda: (GPT(11, 2, 2, 8, 6, np.random.default_rng(0)), ids(6)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_the_same_for_batches_of_any_length(name):
    model, make = MODELS[name]()
    model.train()
    exported = tn.export.onnx(model, make(4))
    assert all(module.training for _, module in model.named_modules())
    model.eval()
    runner = session(exported)
    for count in (1, 7, 64):
        x = make(count)
        (theirs,) = runner.run(None, {runner.get_inputs()[0].name: x})
        np.testing.assert_allclose(theirs, model(x).data, rtol=1e-4, atol=1e-5)


def test_sequences_of_several_lengths_have_theirs_in_the_file():
    layer = nn.GRU(3, 4, rng=0)
    x, lengths = images(5, 3)(4), np.array([5, 2, 0, 3])
    exported = tn.export.onnx(lambda x, lengths: layer(x, lengths=lengths)[0], (x, lengths))
    np.testing.assert_allclose(run(exported, x, lengths)[0], layer(x, lengths=lengths)[0].data, atol=1e-6)


def test_names_in_the_file_are_those_of_the_model():
    model = nn.Sequential(nn.Dense(2, 3, rng=0), nn.Tanh())
    exported = tn.export.onnx(model, images(2)(2), names=["points", "scores"])
    assert [i.name for i in exported.graph.initializer] == ["0.weight", "0.bias"]
    assert [node.name for node in exported.graph.node] == ["0/MatMul", "0/Add", "1/Tanh", "scores/Identity"]
    assert exported.graph.input[0].name == "points"
    dims = exported.graph.input[0].type.tensor_type.shape.dim
    assert (dims[0].dim_param, dims[1].dim_value) == ("batch", 2)


def test_a_file_is_written_and_can_be_run(tmp_path):
    model, x = nn.Dense(2, 3, rng=0), images(2)(2)
    tn.export.onnx(model, x, tmp_path / "model.onnx")
    runner = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(runner.run(None, {"x": x})[0], model(x).data, rtol=1e-6)


def a_step(x):
    optimizer = tn.optim.SGD([WEIGHT], lr=0.1)
    (x @ WEIGHT).sum().backward()
    optimizer.step()


WEIGHT = tn.tensor(np.ones((2, 2), np.float32), requires_grad=True)
X = np.ones((2, 2), np.float32)

WRONG = {
    "no function": (
        lambda: tn.export.onnx(3, X),
        errors.ArgumentError,
        "expected a model or another function",
    ),
    "an opset that is too old": (
        lambda: tn.export.onnx(nn.Tanh(), X, opset=13),
        errors.SettingError,
        "opset is an integer from 20, got 13",
    ),
    "names that are too few": (
        lambda: tn.export.onnx(nn.Tanh(), X, names=["x"]),
        errors.ArgumentError,
        "names are different ones for 1 inputs and 1 outputs",
    ),
    "no batch": (
        lambda: tn.export.onnx(nn.Tanh(), np.float32(1)),
        errors.ArgumentError,
        "the first axis of the example is the batch",
    ),
    "an op of a module": (
        lambda: tn.export.onnx(np.linalg.inv, np.eye(2)[None]),
        errors.ExportError,
        r"inv has no converter to ONNX\n  in     %1 = inv\(",
    ),
    "a training step": (lambda: tn.export.onnx(a_step, X), errors.ExportError, "an update: what is exported"),
    "dropout in training": (
        lambda: tn.export.onnx(lambda x: tn.dropout(x, 0.5, rng=np.random.default_rng(0)), X),
        errors.ExportError,
        "keep_mask has no converter to ONNX",
    ),
    "what depends on the batch": (
        lambda: tn.export.onnx(lambda x: np.tanh(x) if len(x) > 2 else np.exp(x), X),
        errors.ExportError,
        "depends on the length of the batch\n  hint   dynamic=False",
    ),
    "rows for each sample": (
        lambda: tn.export.onnx(lambda x: x + np.arange(len(x), dtype=np.float32)[:, None], X),
        errors.ExportError,
        r"a constant of shape \(2, 1\) has a row for each sample",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_exported_says_why(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "tinygrad_nn\[onnx\]"'):
        tn.export.onnx(nn.Tanh(), X)
