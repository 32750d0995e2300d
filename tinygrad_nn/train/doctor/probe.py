"""One look at a training: the model runs forward and back on a batch, watched op by op, and leaves no trace."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tinygrad_nn.context import SCOPE, watching
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.node import Leaf, Node, Source
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import UsageWarning
from tinygrad_nn.primitives import Array, Params, Primitive, Shape
from tinygrad_nn.train.metrics import Weights
from tinygrad_nn.train.parts import Loss, Model
from tinygrad_nn.train.sampling import entries_of

ROWS = 64
"""Rows of a batch that are looked at, at most."""
SAMPLE = 2**14
"""Elements of an array that are looked at, at most."""
MOVES = frozenset(
    ["reshape", "transpose", "swapaxes", "moveaxis", "astype", "getitem", "squeeze", "expand_dims", "ravel"]
)
"""Ops whose result has the values of their operand in other places."""
_PACKING = MOVES | {"concatenate", "stack"}
_TAKE_LOGITS = frozenset(
    ["cross_entropy", "softmax", "log_softmax", "logsumexp", "exp", "log_sigmoid", "sigmoid", "softplus"]
) | {"binary_cross_entropy_elements"}
_SQUASH = {"sigmoid": (0.5, 0.49), "tanh": (0.0, 0.98)}
"""Of saturating functions the middle, and how far from it their slope is a twenty-fifth of the steepest."""


class Layer:
    """A use of a parameter of two or more axes in a forward pass.

    Attributes:
        name: of the parameter.
        path: of the module.
        size: the root mean square of the result.
        fed: that of the operand it is used on, and whether this is data, which no parameter has been used on.
        alike: whether all features of that operand are the same.
        gradient: the norm of the gradient of the loss in the result; NaN where none came.
    """

    __slots__ = ("alike", "data", "fed", "gradient", "name", "path", "size", "units")

    def __init__(self, name: str, path: str, size: float, units: int) -> None:
        self.name, self.path, self.size, self.units = name, path, size, units
        self.fed, self.data, self.alike, self.gradient = math.nan, False, False, math.nan


class Squashed(NamedTuple):
    """A use of an activation function that may be flat: which units were ever on, or what share is where it is flat."""

    op: str
    path: str
    on: Array | None
    flat: float
    result: Array


@dataclass(slots=True)
class Probe:
    """What one look found.

    Attributes:
        step: how many steps had been taken.
        rows: how many rows were looked at.
        of: how many the batch has.
        loss: of these rows, NaN if there was none.
        after: the loss of the same rows after the step, if it was looked at.
        layers, squashed: uses of parameters and of activation functions, in order.
        gradients: the norm of each parameter's gradient, by name; a parameter that no gradient reaches has none.
        equal: parameters of which all units have the same weights at the start: the first of these, and whether all
            have the same gradient too.
        sizes: the norm of each parameter.
        update: the norm of the step's change over that of the weights; NaN if it was not looked at.
        predicted, target: shapes, where predictions and targets are single arrays.
        spread: the shape that a loss made of predictions and targets of other shapes, if it did.
        twice: the op that takes logits and was given probabilities, if there was one.
        batch: targets and weights of the rows, to ask the loss about other predictions.
        failed: what part failed, and how, if one did.
    """

    step: int
    rows: int = 0
    of: int = 0
    loss: float = math.nan
    after: float = math.nan
    layers: list[Layer] = field(default_factory=list)
    squashed: list[Squashed] = field(default_factory=list)
    gradients: dict[str, float] = field(default_factory=dict)
    equal: dict[str, tuple[float, bool]] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    update: float = math.nan
    predicted: Shape | None = None
    dtype: np.dtype | None = None
    target: Shape | None = None
    spread: Shape | None = None
    twice: str = ""
    reached: frozenset[Leaf] = frozenset()
    batch: tuple[Tree, Weights] | None = None
    failed: tuple[str, Exception] | None = None


class Subject(NamedTuple):
    """What is looked at.

    Attributes:
        names: of the parameters, by their leaves.
        paths: of the modules, by their ids.
    """

    model: Model
    loss: Loss
    names: Mapping[Source, str]
    paths: Mapping[int, str]
    parameters: Mapping[str, Tensor]


def probed(subject: Subject, parts: tuple[Sequence[Tree], Tree, Weights], step: int) -> Probe:
    """Run forward and back on a batch and return what was seen; gradients of parameters stay as they are."""
    inputs, targets, weights = parts
    probe = Probe(step, rows=rows_of_targets(targets), batch=(targets, weights))
    watch = _Watch(subject, probe)
    part = "model"
    found: Mapping[Source, Array] = {}
    try:
        with watching(watch), np.errstate(all="ignore"):
            predictions = subject.model(*inputs)
            watch.look_at_predictions(predictions, targets)
            part = "loss"
            value = subject.loss(predictions, targets, **weights)
            probe.loss = value.item()
            part = "backward"
            if value._node is not None and value._node.requires_grad:
                found = backward(value._node, np.ones_like(value._data))
    except UsageWarning as warning:  # an error where warnings are
        probe.twice = watch.twice(str(warning))
        probe.failed = (part, warning)
        return probe
    except Exception as error:  # the training meets it too, and raises it
        probe.failed = (part, error)
        return probe
    probe.reached = frozenset(leaf for leaf in found if type(leaf) is Leaf)
    _look_at_parameters(subject, probe, found)
    return probe


def _look_at_parameters(subject: Subject, probe: Probe, found: Mapping[Source, Array]) -> None:
    for leaf, name in subject.names.items():
        weight = subject.parameters[name]._data
        probe.sizes[name] = norm(weight)
        gradient = found.get(leaf)
        if gradient is not None:
            probe.gradients[name] = norm(gradient)
        if probe.step == 0 and weight.ndim > 1 and weight.shape[-1] > 1 and equal_units(weight):
            alike = gradient is None or equal_units(gradient)
            probe.equal[name] = float(weight.reshape(-1)[0]), alike


def equal_units(weight: Array) -> bool:
    """Tell whether the weights of all units, which are on the last axis, are the same but for rounding."""
    columns = weight.reshape(-1, weight.shape[-1])
    largest = float(np.abs(columns[:64]).max())
    # Most weights differ in the first row.
    if np.ptp(columns[0]) > 1e-5 * largest:
        return False
    return bool(np.ptp(columns, axis=1).max() <= 1e-5 * np.abs(columns).max())


def norm(x: Array) -> float:
    """Return the norm of an array, estimated from a part of a large one."""
    part = entries_of(x, SAMPLE)
    return math.sqrt(float(np.dot(part, part)) * x.size / part.size) if x.size else 0.0


def rms(x: Array) -> float:
    """Return the root mean square of an array."""
    return norm(x) / math.sqrt(max(x.size, 1))


def leaf_of(tensor: Tensor) -> Leaf:
    """Return the leaf of a parameter."""
    leaf = tensor._node
    assert isinstance(leaf, Leaf)
    return leaf


def rows_of_targets(targets: Tree) -> int:
    return next((len(leaf) for leaf in trees.leaves(targets) if np.ndim(leaf)), 0)


class _Watch(Watcher):
    """Notes what layers and activation functions do, and what becomes of predictions in the loss."""

    def __init__(self, subject: Subject, probe: Probe) -> None:
        self._subject, self._probe = subject, probe
        self._weights: dict[Source, str] = {
            leaf: name for leaf, name in subject.names.items() if subject.parameters[name].ndim > 1
        }
        self._layers: dict[Node, Layer] = {}
        self._made: Layer | str | None = None
        # The predictions, wherever their values have been moved to, once the loss has begun.
        self._predictions: set[object] | None = None
        self._probabilities = False
        self._shapes: tuple[Shape, Shape] | None = None
        # What frozen layers make has no node, and is no data either; kept, so that no other array gets its number.
        self._some_frozen = not all(x.requires_grad for x in subject.parameters.values())
        self._derived: dict[int, Array] = {}

    def on_op(
        self,
        op: Primitive,
        links: Sequence[object],
        arrays: Sequence[object],
        params: Params,
        result: Array,
        operands: Sequence[object],
    ) -> None:
        self._made = None
        if self._predictions is not None:
            self._in_loss(op.name, links, arrays, result)
            return
        used = [self._weights[x] for x in links if type(x) in (Leaf, Node) and x in self._weights]
        if self._some_frozen and (used or any(id(a) in self._derived for a in arrays)):
            self._derived[id(result)] = result
        if used:
            self._made = self._use(op.name, used, links, arrays, result)
            if op.name == "rnn_states":
                self._squash("tanh", result)
        elif op.name in _SQUASH or op.name == "relu" or (op.name == "maximum" and 0.0 in _numbers(arrays)):
            self._squash(op.name, result)

    def on_record(self, node: Node) -> None:
        made = self._made
        if isinstance(made, Layer):
            self._layers[node] = made
        elif made == "prediction" and self._predictions is not None:
            self._predictions.add(node)
        elif made:
            self._weights[node] = made

    def before_rules(self, node: Node, cotangent: Array) -> None:
        layer = self._layers.get(node)
        if layer is not None:
            layer.gradient = norm(cotangent)

    def _use(
        self,
        name: str,
        used: list[str],
        links: Sequence[object],
        arrays: Sequence[object],
        result: Array,
    ) -> Layer | str:
        """Return the layer that an op is, or the name of the parameter whose values it moves."""
        path = self._path()
        others = [
            (x, a)
            for x, a in zip(links, arrays, strict=True)
            if isinstance(a, np.ndarray) and a.ndim and not (type(x) in (Leaf, Node) and x in self._weights)
        ]
        if name in _PACKING or not (others or name.endswith("_states")):
            # A recurrent layer packs what it is given beside its weights.
            for x, a in others:
                if type(x) is np.ndarray and a.dtype.kind == "f" and a.any():
                    self._fed_by_data(used[0], path, a)
            return used[0]
        layer = Layer(used[0], path, rms(result), result.shape[-1] if result.ndim else 1)
        for x, a in others:
            if a.dtype.kind == "f" and a.size > 1 and type(x) is not Leaf:
                layer.fed = rms(a)
                layer.data = type(x) is not Node and id(a) not in self._derived
                layer.alike = a.ndim > 1 and a.shape[-1] > 1 and bool((a[:8] == a[:8, ..., :1]).all())
                break
        self._probe.layers.append(layer)
        return layer

    def _fed_by_data(self, name: str, path: str, data: Array) -> None:
        layer = Layer(name, path, math.nan, 0)
        layer.fed, layer.data = rms(data), True
        self._probe.layers.append(layer)

    def _squash(self, name: str, result: Array) -> None:
        if result.ndim < 2 or not result.size:
            return
        rows = result[:: result.size // 2**18 + 1]
        units = rows.reshape(-1, result.shape[-1])
        if name in _SQUASH:
            middle, far = _SQUASH[name]
            flat = float(np.mean(np.abs(units - middle) > far))
            self._probe.squashed.append(Squashed(name, self._path(), None, flat, result))
        else:
            self._probe.squashed.append(
                Squashed("relu", self._path(), np.any(units > 0, axis=0), 0.0, result)
            )

    def _path(self) -> str:
        scope = SCOPE.get()
        while scope is not None:
            if id(scope.module) in self._subject.paths:
                return self._subject.paths[id(scope.module)]
            scope = scope.parent
        return ""

    def look_at_predictions(self, predictions: Tree, targets: Tree) -> None:
        """Note what the model returned, when the loss is to begin."""
        self._predictions = set()
        probe = self._probe
        if isinstance(predictions, Tensor) and len(list(trees.leaves(targets))) == 1:
            array = plain(predictions)
            self._shapes = array.shape, np.shape(targets)
            probe.predicted, probe.target = self._shapes
            probe.dtype = array.dtype
            if type(predictions._node) is Node:
                self._predictions.add(predictions._node)
                self._probabilities = _are_probabilities(predictions._node, array)
        outputs = [plain(leaf) for leaf in trees.leaves(predictions) if isinstance(leaf, Tensor)]
        # What the model answers with may lie where a function is flat: then it is sure.
        probe.squashed = [
            s._replace(result=np.empty(0))
            for s in probe.squashed
            if not any(np.may_share_memory(s.result, output) for output in outputs)
        ]

    def twice(self, warning: str) -> str:
        """Return the loss that has warned of probabilities; nothing if it has warned of something else."""
        return warning.partition(":")[0] if self._probabilities else ""

    def _in_loss(self, name: str, links: Sequence[object], arrays: Sequence[object], result: Array) -> None:
        probe = self._probe
        if any(type(x) is Node and x in (self._predictions or ()) for x in links):
            if name in MOVES:
                self._made = "prediction"
            elif self._probabilities and name in _TAKE_LOGITS:
                probe.twice = probe.twice or name
        if probe.spread is None and self._shapes is not None and len(arrays) == 2:
            shapes: list[Shape] = [getattr(a, "shape", ()) for a in arrays]
            if sorted(shapes) == sorted(self._shapes) and result.size > max(map(math.prod, shapes)):
                probe.spread = result.shape


def _numbers(arrays: Sequence[object]) -> list[float]:
    plain_numbers = (int, float, np.number)
    return [
        float(a)
        for a in arrays
        if isinstance(a, plain_numbers) or (isinstance(a, np.ndarray) and a.ndim == 0)
    ]


def _are_probabilities(node: Node, values: Array) -> bool:
    """Tell whether a softmax or a sigmoid has made predictions, by its name or by what it makes."""
    maker = node
    while maker.op.name in MOVES and type(maker.operands[0]) is Node:
        maker = maker.operands[0]
    if maker.op.name in ("softmax", "sigmoid"):
        return True
    if values.ndim < 2 or values.shape[-1] < 2 or len(values) < 2 or not values.min() >= 0:
        return False
    return bool(np.all(np.abs(values.sum(axis=-1) - 1) < 1e-3))
