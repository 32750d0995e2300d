"""What the doctor has seen of a training: looks at some steps, the losses of all, targets, modes, the history."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.node import Leaf
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.doctor.labels import Labels
from tinygrad_nn.train.doctor.modes import at_rest, with_mode
from tinygrad_nn.train.doctor.probe import ROWS, SAMPLE, Probe, Subject, leaf_of, probed, rows_of_targets
from tinygrad_nn.train.doctor.signal import signal
from tinygrad_nn.train.history import History
from tinygrad_nn.train.metrics import Weights
from tinygrad_nn.train.parts import Batch, Loss, Model
from tinygrad_nn.train.sampling import entries_of
from tinygrad_nn.train.untouched import Untouched, modules_of

Parts = tuple[Sequence[Tree], Tree, Weights]
POOLED = 256
"""Rows of the first batches that are kept, to ask in the end whether their targets say anything about them."""
KEPT = 2**12
"""Losses that are kept; of a longer training every second one, every fourth..."""


class Evidence:
    """Collects what the checks look at.

    Attributes:
        probes: looks at steps, in order.
        losses: of the steps, or of every `stride`-th.
        steps: how many were taken.
        labels: what the targets are.
        history: of the epochs, if there is one.
        stops_early: whether somebody watches over overfitting already.
        signal: whether targets say anything about their rows, of which so many were kept; NaN unless it was asked.
        failed: why a batch could not be read, if one could not.
        resting, awake: paths of layers that did not train in a step, or did in an evaluation.
        optimizer: if there is one.
        fit: whether the steps were those of a training, and not tried and taken back.
    """

    def __init__(
        self, model: Model, loss: Loss, optimizer: object, reader: Callable[[Batch], Parts], *, fit: bool
    ) -> None:
        self.model, self.loss, self.optimizer, self.fit = model, loss, optimizer, fit
        self.modules = modules_of(model)
        self.probes: list[Probe] = []
        self.losses = array("d")
        self.stride = 1
        self.steps = 0
        self.labels = Labels()
        self.history: History | None = None
        self.validated = self.stops_early = False
        self.resting: list[str] = []
        self.awake: list[str] = []
        self.moved: str | None = None
        self.failed: Exception | None = None
        self.reader = reader
        self.untouched = Untouched(model, loss)
        self.parameters = self._named_parameters()
        self.subject = Subject(
            model,
            loss,
            {leaf_of(tensor): name for name, tensor in self.parameters.items()},
            {id(module): path for path, module in self.modules},
            self.parameters,
        )
        self._weights: dict[str, Array] = {}
        self._kept: list[Batch] = []
        self.rows_kept = 0
        self.signal = math.nan

    def _named_parameters(self) -> dict[str, Tensor]:
        """Return the parameters of the model, and those of the optimizer that are not among them."""
        found: dict[int, tuple[str, Tensor]] = {}
        for path, module in self.modules:
            for name, tensor in module.named_parameters():
                found.setdefault(id(tensor), (f"{path}.{name}" if path else name, tensor))
        self.own = frozenset(found)
        for k, tensor in enumerate(self.trained()):
            found.setdefault(id(tensor), (f"parameter {k} of the optimizer", tensor))
        # What `with_parameters` has put in may be results.
        return {name: tensor for name, tensor in found.values() if isinstance(tensor._node, Leaf)}

    def trained(self) -> list[Tensor]:
        """Return the parameters of the optimizer."""
        return list(getattr(self.optimizer, "parameters", ()))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Return a context whose errors are noted: what is wrong with a batch or a model ends the training itself."""
        try:
            yield
        except Exception as error:  # the report says so
            self.failed = error

    def look_at_targets(self, batch: Batch) -> None:
        """Count the targets of a batch, if it is one; what is none the training itself refuses."""
        with self.aside():
            _, targets, weights = self.reader(batch)
            rows_weigh = weights.get("sample_weight")
            self.labels.look(targets, None if rows_weigh is None else plain(rows_weigh))

    def probe(self, batch: Batch) -> Probe | None:
        """Look at the model on some rows of a batch; returns what was found, nothing where there are no rows."""
        found = None
        with self.aside():
            parts = self.reader(batch)
            some = _some_rows(parts)
            if some is not None:
                self._some, self._places = some, self.untouched.places()
                with self.untouched.block(self._places):
                    found = probed(self.subject, some, self.steps)
                    found.of = rows_of_targets(parts[1])
                    if self.fit:
                        self.resting += at_rest(self.modules)
                self.probes.append(found)
        return found

    def before_step(self, batch: Batch) -> Probe | None:
        """Look at the model before a step, and remember its weights."""
        found = self.probe(batch)
        trained = {id(tensor) for tensor in self.trained()}
        self._weights = {
            name: entries_of(tensor._data, SAMPLE).copy()
            for name, tensor in self.parameters.items()
            if tensor.ndim > 1 and id(tensor) in trained
        }
        return found

    def after_step(self, found: Probe) -> None:
        """Look at what the step did: how far the weights went, and to which loss of the same rows."""
        changed = before = 0.0
        for name, weights in self._weights.items():
            whole = self.parameters[name]._data
            scale = whole.size / max(weights.size, 1)
            difference = entries_of(whole, SAMPLE) - weights
            changed += float(np.dot(difference, difference)) * scale
            # The weights of a unit have a norm of about 1 (LeCun et al., 1998); some begin with 0.
            size = float(np.dot(weights, weights)) * scale
            before += max(size, 0.25 * whole.shape[-1])
        if before > 0:
            found.update = math.sqrt(changed / before)
        inputs, targets, weigh = self._some
        if found.failed is None:
            unseen = self.untouched.block(self._places)
            with self.aside(), no_grad(), unseen, np.errstate(all="ignore"):
                found.after = self.loss(self.model(*inputs), targets, **weigh).item()

    def keep(self, batch: Batch) -> None:
        """Keep one of the first batches."""
        if self.rows_kept < POOLED:
            with self.aside():
                self.rows_kept += max(len(next(trees.leaves(self.reader(batch)[1]))), 1)
                self._kept.append(batch)

    def look_at_signal(self) -> None:
        """Measure whether targets say anything about their rows, on those of the first batches; see `signal`."""
        with self.aside(), np.errstate(all="ignore"):
            parts = [self.reader(batch) for batch in self._kept]
            rows = [_joined([[*inputs, targets, *weights.values()] for inputs, targets, weights in parts])]
            first = next(trees.leaves(rows))
            # A row that comes twice agrees with itself.
            chosen = list({row.tobytes(): k for k, row in enumerate(first)}.values())[:POOLED]
            (columns,) = trees.mapped(itemgetter(chosen), rows)
            names = list(parts[0][2])
            *inputs, targets = columns[: len(columns) - len(names)]
            weights = dict(zip(names, columns[len(columns) - len(names) :], strict=True))
            with self.untouched.block():
                self.signal = signal(self.subject, inputs, targets, weights)

    def note_loss(self, loss: float) -> None:
        """Count a step and keep its loss."""
        if self.steps % self.stride == 0:
            self.losses.append(loss)
            if len(self.losses) > KEPT:
                self.losses = self.losses[::2]
                self.stride *= 2
        self.steps += 1

    def look_at_evaluation(self, batch: Batch) -> None:
        """Note which layers train in an evaluation."""
        layers = with_mode(self.modules)
        if not layers:
            return
        unseen = self.untouched.block()
        mode = in_mode(self.model, training=False)
        with self.aside(), no_grad(), unseen, mode, np.errstate(all="ignore"):
            inputs, *_ = self.reader(batch)
            self.model(*inputs)
            self.awake = [path for path, module in layers if module.training]

    def curve(self) -> Array:
        """Return the losses that were kept."""
        return np.array(self.losses)

    def first(self) -> Probe | None:
        """Return the first look that did not fail."""
        return next((probe for probe in self.probes if probe.failed is None), None)

    def good(self) -> list[Probe]:
        """Return the looks that did not fail."""
        return [probe for probe in self.probes if probe.failed is None]


def _joined(batches: Sequence[Tree]) -> Tree:
    """Return the rows of several batches as one."""
    arrays = [trees.mapped(plain, batch) for batch in batches]
    columns = zip(*map(trees.leaves, arrays), strict=True)
    return trees.mapped(lambda _: np.concatenate(next(columns)), arrays[0])


def _some_rows(parts: Parts) -> Parts | None:
    """Return some rows of a batch, spread over it; all, where there are arrays that have no rows of it."""
    inputs, targets, weights = parts
    leaves = [leaf for leaf in trees.leaves([*inputs, targets, *weights.values()]) if leaf is not None]
    lengths = {np.shape(leaf)[:1] for leaf in leaves}
    rows = next(iter(lengths))[0] if len(lengths) == 1 and () not in lengths else None
    if rows == 0 or not all(np.any(plain(weight)) for weight in weights.values()):
        return None
    if rows is None or rows <= ROWS:
        return parts
    chosen = slice(0, None, -(-rows // ROWS))
    part: Callable[..., Tree] = itemgetter(chosen)
    return (
        [trees.mapped(part, x) for x in inputs],
        trees.mapped(part, targets),
        {name: part(weight) for name, weight in weights.items()},
    )
