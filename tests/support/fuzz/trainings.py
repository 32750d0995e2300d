"""Random small trainings: a network, a loss, an optimizer, the steps, and what may be changed between steps."""

import math
from itertools import pairwise

import numpy as np

import tinygrad_nn as tn
from tests.support.fuzz.cases import chance, pick
from tests.support.layers import LAYERS
from tinygrad_nn import nn, optim
from tinygrad_nn.engine import trees
from tinygrad_nn.nn import losses

ACTIVATIONS = (
    nn.Tanh,
    nn.Sigmoid,
    nn.ReLU,
    nn.Softplus,
    nn.SiLU,
    nn.GELU,
    nn.ELU,
    nn.LeakyReLU,
    nn.LogSigmoid,
)


class Block(nn.Module):
    """A module whose `forward` reads attributes of many kinds."""

    power = 1

    def __init__(self, width, dtype):
        self.scale = 1.25
        self.kind = "tanh"
        self.settings = {"shift": 0.1, "layers": [np.sin]}
        self.mean = np.zeros(width, dtype)
        self.constant = tn.tensor(np.full(width, 1.5, dtype))
        self.weight = tn.tensor(np.ones(width, dtype), requires_grad=True)

    def forward(self, x):
        x = (x - self.mean) * self.weight * self.scale + self.settings["shift"]
        for layer in self.settings["layers"]:
            x = layer(x)
        x = np.tanh(x) if self.kind == "tanh" else tn.softplus(x)
        return x**self.power * self.constant if self.training else x


class Around(nn.Module):
    """A layer of any kind, with three features before it and behind it."""

    def __init__(self, name, dtype):
        factory, x = LAYERS[name]
        self.layer = factory(0)
        self.shape = x.shape[1:]
        self.integers = x.dtype.kind == "i"
        self.head = nn.Dense(self._flat(x).shape[1], 3, rng=2, dtype=dtype)

    def _flat(self, x):
        return next(iter(trees.leaves(self.layer(x)))).reshape(len(x), -1)

    def forward(self, x):
        # Of a plain array its layer would make single precision.
        x = tn.as_tensor(x)[:, np.arange(math.prod(self.shape)) % 3].reshape(len(x), *self.shape)
        return self.head(self._flat((x > 0).astype(int) if self.integers else x))


def _probabilities(rng, n, width):
    return rng.dirichlet(np.ones(width), n)


LOSSES = {
    "mse": (losses.mse, lambda rng, n, width: rng.normal(size=(n, width))),
    "mae": (losses.mae, lambda rng, n, width: rng.normal(size=(n, width)) + 5),
    "huber": (losses.huber, lambda rng, n, width: rng.normal(size=(n, width))),
    "labels": (losses.cross_entropy, lambda rng, n, width: rng.integers(0, width, n)),
    "smoothed": (
        lambda y, labels: losses.cross_entropy(y, labels, label_smoothing=0.1),
        lambda rng, n, width: rng.integers(0, width, n).astype(np.int32),
    ),
    "ignored": (
        lambda y, labels: losses.cross_entropy(y, labels, ignore_index=-1, reduction="sum"),
        lambda rng, n, width: rng.integers(-1, width, n),
    ),
    "probabilities": (losses.cross_entropy, _probabilities),
    "nll": (
        lambda y, labels: losses.nll(tn.log_softmax(y), labels),
        lambda rng, n, width: rng.integers(0, width, n),
    ),
    "binary": (losses.binary_cross_entropy, lambda rng, n, width: rng.random((n, width))),
    "binary probabilities": (
        lambda y, p: losses.mse(tn.sigmoid(y), p),
        lambda rng, n, width: rng.random((n, width)),
    ),
    "kl": (losses.kl_divergence, _probabilities),
}
OPTIMIZERS = (
    lambda ps, lr: optim.SGD(ps, lr),
    lambda ps, lr: optim.SGD(ps, lr, momentum=0.9),
    lambda ps, lr: optim.SGD(ps, lr, momentum=0.8, nesterov=True, weight_decay=0.01),
    lambda ps, lr: optim.SGD(ps, lr, weight_decay=0.1),
    # With a small eps Adam makes whole steps of gradients that are nothing but rounding.
    lambda ps, lr: optim.Adam(ps, lr, eps=1e-3),
    lambda ps, lr: optim.Adam(ps, lr, eps=1e-3, betas=(0.5, 0.9), weight_decay=0.02),
    lambda ps, lr: optim.AdamW(ps, lr, eps=1e-3),
    lambda ps, lr: optim.RMSprop(ps, lr, eps=1e-2, momentum=0.5),
    lambda ps, lr: optim.Adagrad(ps, lr, eps=1e-2),
)
"""Without Lion, whose steps are signs, over which an ulp more or less may lead."""
RATES = (
    0.05,
    0.01,
    optim.schedules.exponential(0.05, 0.5, steps=3),
    optim.schedules.warmup(optim.schedules.cosine(0.1, 20), 3),
    optim.schedules.inverse_time(0.1, 4),
)


class Training:
    """A model, its optimizer and its steps, drawn from a generator: the same one gives the same twice."""

    def __init__(self, rng):
        self.dtype = pick(rng, (np.float64, np.float64, np.float32))
        widths = [3, *(int(rng.integers(2, 5)) for _ in range(rng.integers(0, 3))), 3]
        activation = pick(rng, ACTIVATIONS)
        layers = []
        for a, b in pairwise(widths):
            bias = chance(rng, 0.8)
            layers += [nn.Dense(a, b, rng=int(rng.integers(100)), bias=bias, dtype=self.dtype), activation()]
        if chance(rng, 0.5):
            layers.insert(pick(rng, (0, len(layers))), Block(3, self.dtype))
        if chance(rng, 0.5):
            layers.insert(0, Around(pick(rng, LAYERS), self.dtype))
        if chance(rng, 0.3):
            # Used twice.
            shared = nn.Dense(3, 3, rng=1, dtype=self.dtype)
            layers += [shared, activation(), shared]
        else:
            layers.append(nn.Dense(3, 3, rng=1, dtype=self.dtype))
        self.model = nn.Sequential(*layers)
        self.kind = pick(rng, LOSSES)
        self.loss, self._targets = LOSSES[self.kind]
        self.optimizer = pick(rng, OPTIMIZERS)(self.model.parameters(), pick(rng, RATES))
        self.clip = 0.5 if chance(rng, 0.2) else None

    def batch(self, rng, rows):
        """Return inputs and targets."""
        x = rng.normal(size=(rows, 3)).astype(self.dtype)
        y = self._targets(rng, rows, 3)
        return x, y.astype(self.dtype) if y.dtype == np.float64 else y

    def train(self, x, y):
        """Make a whole step."""
        self.optimizer.zero_grad()
        return self.go_on(x, y)

    def go_on(self, x, y):
        """Make a step without forgetting the gradients that are there."""
        loss = self.accumulate(x, y)
        self.update()
        return loss

    def accumulate(self, x, y):
        """Add to the gradients."""
        loss = self.loss(self.model(x), y)
        loss.backward()
        return loss

    def update(self):
        """Use the gradients, if there are any."""
        if all(parameter.grad is None for parameter in self.model.parameters()):
            return
        if self.clip:
            optim.clip_grad_norm(self.model.parameters(), self.clip)
        self.optimizer.step()

    def evaluate(self, x):
        """Return what the model says."""
        return self.model(x)

    def compiled(self, backend):
        """Compile all steps, of this training alone; return it."""
        for name in ("train", "go_on", "accumulate", "update", "evaluate"):
            setattr(self, name, tn.compile(getattr(self, name), backend))
        return self

    def state(self):
        """Return all arrays that make up the state, by name."""
        parts = {f"model {name}": x for name, x in self.model.state_dict().items()}
        parts |= {f"optimizer {name}": x for name, x in self.optimizer.state_dict().items()}
        for k, parameter in enumerate(self.optimizer.parameters):
            parts[f"gradient {k}"] = None if parameter.grad is None else parameter.grad.copy()
        return parts


# What may be done to a training between its steps; each draws the same from the same generator.


def _parameter(training, rng):
    return pick(rng, training.optimizer.parameters)


def _freeze(training, rng):
    parameter = _parameter(training, rng)
    # Without any there would be nothing to go back to.
    parameter.requires_grad = parameter is training.optimizer.parameters[0]


def _thaw(training, rng):
    for parameter in training.optimizer.parameters:
        parameter.requires_grad = True


def _blocks(training):
    return [m for _, m in training.model.named_modules() if isinstance(m, Block)]


def _attribute(training, rng):
    for block in _blocks(training):
        name, value = pick(
            rng, [("scale", float(rng.random())), ("kind", "softplus"), ("kind", "tanh"), ("power", 2)]
        )
        setattr(block, name, value)


def _setting(training, rng):
    for block in _blocks(training):
        block.settings["shift"] = float(rng.random())
        block.settings["layers"] = [pick(rng, (np.sin, np.cos, np.tanh))]


def _buffer_anew(training, rng):
    for block in _blocks(training):
        block.mean = rng.normal(size=3).astype(training.dtype)
        block.constant = tn.tensor(rng.normal(size=3).astype(training.dtype))


def _buffer_written(training, rng):
    for block in _blocks(training):
        block.mean += 0.1
        block.constant.data[0] = 2


def _data(training, rng):
    parameter = _parameter(training, rng)
    parameter.data = parameter.data * 0.9


def _in_place(training, rng):
    parameter = _parameter(training, rng)
    with tn.no_grad():
        parameter *= 0.95


def _written(training, rng):
    _parameter(training, rng).data[...] *= 0.95


def _rate(training, rng):
    training.optimizer.lr = pick(rng, RATES)


def _load_model(training, rng):
    state = training.model.state_dict()
    scaled = {k: (v * 0.9).astype(v.dtype) if v.dtype.kind == "f" else v for k, v in state.items()}
    training.model.load_state_dict(scaled)


def _load_optimizer(training, rng):
    state = training.optimizer.state_dict()
    training.optimizer.load_state_dict({k: v if k == "steps" else v * 0.5 for k, v in state.items()})


def _gradients(training, rng):
    for parameter in training.optimizer.parameters:
        if parameter.requires_grad:
            parameter.grad = rng.normal(size=parameter.shape).astype(parameter.dtype)


def _no_gradients(training, rng):
    training.model.zero_grad()


def _layer(training, rng):
    # Other parameters would be seen by a step that calls the model, and not by an update alone.
    modules = training.model.modules
    places = [k for k, module in enumerate(modules) if not module.parameters()]
    if places:
        modules[pick(rng, places)] = nn.Tanh()


CHANGES = {
    "freeze": _freeze,
    "thaw": _thaw,
    "eval": lambda training, rng: training.model.eval(),
    "train": lambda training, rng: training.model.train(),
    "attribute": _attribute,
    "setting": _setting,
    "buffer anew": _buffer_anew,
    "buffer written": _buffer_written,
    "data": _data,
    "in place": _in_place,
    "written": _written,
    "rate": _rate,
    "load model": _load_model,
    "load optimizer": _load_optimizer,
    "gradients": _gradients,
    "no gradients": _no_gradients,
    "layer": _layer,
}
