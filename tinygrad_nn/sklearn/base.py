"""What classifiers and regressors have in common: settings, the check of what comes in, training, predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tinygrad_nn.data.minibatches import batches
from tinygrad_nn.errors import ArgumentError, SettingError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.optim import Optimizer
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import Function
from tinygrad_nn.settings import positive_integer
from tinygrad_nn.sklearn.parts import dense_network, network_of, optimizer_of
from tinygrad_nn.train.callbacks import Checkpoint, EarlyStopping
from tinygrad_nn.train.history import History
from tinygrad_nn.train.loop import fit, predict
from tinygrad_nn.train.run import Callback, Run

Factory = Callable[[int, int, np.random.Generator], Module]
Watcher = Callback | Callable[[Run], object]
Arrays = tuple[Array, ...]
"""Rows, targets, and, where they count differently, the weights of the rows."""

REAL = (np.float64, np.float32)
"""Dtypes of rows, and of the network with them; what has another one comes in the first."""


class Net(BaseEstimator):
    """Base of the estimators; see `NetClassifier`, whose settings these are."""

    model_: Module
    optimizer_: Optimizer
    history_: History
    loss_curve_: list[float]
    n_iter_: int
    _rng: np.random.Generator

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        module: Factory | None = None,
        dropout: float = 0.0,
        loss: Function | None = None,
        optimizer: str | Function = "adam",
        learning_rate_init: float | Schedule = 1e-3,
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int = 200,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        callbacks: Iterable[Watcher] = (),
        compile: bool = False,  # noqa: A002  the word of tn.compile
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.module = module
        self.dropout = dropout
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.callbacks = callbacks
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    _default_loss: Function

    def _new(self, X: Array, outputs: int) -> tuple[Module, Optimizer, np.random.Generator]:
        """Return a network that has learnt nothing, its optimizer, and where their random numbers come from."""
        who = type(self).__name__
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        if self.module is None:
            widths = X.shape[1], outputs
            model = dense_network(
                who, self.hidden_layer_sizes, self.activation, self.dropout, widths, rng, X.dtype
            )
        else:
            model = network_of(who, self.module, X, outputs, rng)
        # Predictions of several threads at once find it in this mode, and need not switch it back and forth.
        return model.eval(), optimizer_of(who, self.optimizer, model, self.learning_rate_init), rng

    def _weights(self, X: Array, sample_weight: ArrayLike | None) -> Array | None:
        """Return what each row counts; None where all count the same."""
        if sample_weight is None:
            return None
        weights: Array = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        if weights.min() < 0:
            raise SettingError(
                f"{type(self).__name__}: sample_weight are numbers from 0, got {weights.min()}"
            )
        return weights

    def _counting(self, X: Array, targets: Array, weights: Array | None) -> Arrays:
        """Return the rows that count for something."""
        if weights is None:
            return X, targets
        counts = weights > 0
        if not counts.any():
            raise SettingError(
                f"{type(self).__name__}: all rows have the weight 0, so there is none to train on"
            )
        return X[counts], targets[counts], weights[counts]

    def _fit(self, arrays: Arrays, outputs: int, classes: Array | None = None) -> Self:
        """Train a new network on rows, of which some are held out where training stops early."""
        who = type(self).__name__
        epochs = positive_integer(who, "max_iter", self.max_iter)
        model, optimizer, rng = self._new(arrays[0], outputs)
        held: Arrays | None = None
        if self.early_stopping:
            arrays, held = self._held_out(arrays, rng, classes)
        watchers = self._watchers()
        if not any(isinstance(watcher, EarlyStopping) for watcher in watchers):
            watched = "loss" if held is None else "val_loss"
            watchers.append(EarlyStopping(watched, patience=10, min_delta=1e-4))
        history = self._train(model, optimizer, rng, arrays, held, epochs, watchers)
        self.model_, self.optimizer_, self._rng = model, optimizer, rng
        self.loss_curve_, self.n_iter_ = [], 0
        self._count(history)
        return self

    def _fit_further(self, arrays: Arrays, outputs: int) -> Self:
        """Train for an epoch, a new network where there is none."""
        if self.early_stopping:
            raise SettingError(
                f"{type(self).__name__}: partial_fit trains for one epoch and holds no rows out\n"
                "  hint   set_params(early_stopping=False)"
            )
        started = self.__sklearn_is_fitted__()
        model, optimizer, rng = (
            (self.model_, self.optimizer_, self._rng) if started else self._new(arrays[0], outputs)
        )
        history = self._train(model, optimizer, rng, arrays, None, 1, self._watchers())
        if not started:
            self.model_, self.optimizer_, self._rng = model, optimizer, rng
            self.loss_curve_, self.n_iter_ = [], 0
        self._count(history)
        return self

    def _count(self, history: History) -> None:
        """Note the epochs of a training, of which there are none where the first was interrupted."""
        self.history_ = history
        self.loss_curve_ += history["loss"] if len(history) else []
        self.n_iter_ += len(history)

    def _watchers(self) -> list[Watcher]:
        """Return the callbacks; refuse those that have nothing to go by here."""
        who = type(self).__name__
        if not isinstance(self.callbacks, Iterable):
            raise ArgumentError(
                f"{who}: callbacks are a list, got {self.callbacks!r:.60}\n  hint   callbacks=[...]"
            )
        for watcher in (watchers := list(self.callbacks)):
            if isinstance(watcher, Checkpoint):
                raise ArgumentError(
                    f"{who}: a Checkpoint goes on from its file, and a fit begins anew\n"
                    "  hint   pickle.dump(estimator, file); partial_fit(X, y) goes on"
                )
            monitor = str(getattr(watcher, "monitor", ""))
            if monitor.startswith("val_") and not self.early_stopping:
                raise SettingError(
                    f"{who}: {type(watcher).__name__} watches {monitor}, and no rows are held out\n"
                    f'  hint   early_stopping=True, or {type(watcher).__name__}("loss")'
                )
        return watchers

    def _held_out(
        self, arrays: Arrays, rng: np.random.Generator, classes: Array | None
    ) -> tuple[Arrays, Arrays]:
        share = self.validation_fraction
        if isinstance(share, bool) or not isinstance(share, (float, np.floating)) or not 0 < share < 1:
            raise SettingError(
                f"{type(self).__name__}: validation_fraction is a share of the rows between 0 and 1, got {share!r:.60}"
            )
        seed = int(rng.integers(2**31))
        try:
            parts = train_test_split(*arrays, test_size=share, random_state=seed, stratify=classes)
        except ValueError as error:
            alike = "" if classes is None else ", of each class its part"
            raise SettingError(
                f"{type(self).__name__}: early stopping holds validation_fraction={share} of {len(arrays[0])} rows out"
                f"{alike}: {error}\n  hint   a larger validation_fraction, or early_stopping=False"
            ) from None
        return tuple(parts[::2]), tuple(parts[1::2])

    def _train(
        self,
        model: Module,
        optimizer: Optimizer,
        rng: np.random.Generator,
        arrays: Arrays,
        held: Arrays | None,
        epochs: int,
        watchers: list[Watcher],
    ) -> History:
        rows = len(arrays[0])
        size = (
            min(200, rows)
            if isinstance(self.batch_size, str) and self.batch_size == "auto"
            else positive_integer(type(self).__name__, "batch_size", self.batch_size)
        )
        loss = self._default_loss if self.loss is None else self.loss
        if not callable(loss):
            raise ArgumentError(
                f"{type(self).__name__}: loss is a function of predictions and targets, got {loss!r:.60}\n"
                f"  hint   loss=tn.nn.losses.{self._default_loss.__name__}, which is the default"
            )
        history = fit(
            model,
            loss,
            optimizer,
            batches(arrays[0].astype(_dtype_of(model), copy=False), *arrays[1:], size=size, rng=rng),
            epochs=epochs,
            validation=held,
            callbacks=[*watchers, _Interrupted()],
            progress=bool(self.verbose),
            compile=self.compile,
        )
        # They would be in each pickle.
        model.zero_grad()
        return history

    def _outputs(self, X: ArrayLike) -> Array:
        """Return what the network makes of rows."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=REAL, reset=False)
        found: Array = predict(self.model_, rows.astype(_dtype_of(self.model_), copy=False))
        return found

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")


def _dtype_of(model: Module) -> np.dtype:
    """Return the dtype in which a network computes."""
    return model.parameters()[0].dtype


class _Interrupted(Callback):
    """Says so where Ctrl-C has ended a fit, which returns what there is."""

    def on_interrupt(self, run: Run) -> None:
        warnings.warn(
            f"training was interrupted after batch {run.batch} of epoch {run.epoch + 1}; "
            "the estimator has the network of then",
            stacklevel=2,
        )
