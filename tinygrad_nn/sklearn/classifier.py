"""NetClassifier: a network that tells classes apart, as an estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from tinygrad_nn.errors import ArgumentError, LabelError, SettingError
from tinygrad_nn.nn import losses
from tinygrad_nn.ops.activation import log_softmax, softmax
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import Function
from tinygrad_nn.sklearn.base import REAL, Arrays, Factory, Net, Watcher

ClassWeight = Mapping[Hashable, float] | Literal["balanced"] | None


class NetClassifier(ClassifierMixin, Net):
    """A neural network as a classifier of scikit-learn: in pipelines, searches, cross-validation and pickles.

    Settings have the names of `MLPClassifier` where they mean the same. Rows in float32 make a network in float32, all
    others one in float64. Predictions are those of the network in evaluation mode.

    Args:
        hidden_layer_sizes: widths of the dense layers between rows and classes.
        activation: after each of them: "relu", "tanh", "logistic", "identity", "gelu", "silu", "elu", "leaky_relu" or
            "softplus".
        module: a function of (n_in, n_out, rng) that returns another network, n_in features to n_out scores, which
            `fit` calls; then the two settings above and `dropout` are not looked at. To be pickled or run in other
            processes it stands at the top of a file.
        dropout: the share of the outputs of hidden layers that is dropped while training.
        loss: of scores (N, classes) and labels from 0 on, `nn.losses.cross_entropy` by default; one that takes
            `sample_weight=` where rows or classes have weights.
        optimizer: "adam", "adamw", "sgd", "rmsprop", "adagrad" or "lion"; or what is called with the parameters and
            `lr=`, as `functools.partial(optim.SGD, momentum=0.9)` can be.
        learning_rate_init: the learning rate, or one of `tn.optim.schedules`.
        batch_size: rows of a batch; "auto" is 200, or all where there are fewer.
        max_iter: epochs at most. Training ends when its loss has not improved by 1e-4 for ten epochs, and the network
            is then that of the best one. An `EarlyStopping` among the callbacks replaces this rule.
        class_weight: what the rows of each class count, by label; "balanced" is n_rows / (n_classes * rows of the
            class). It multiplies `sample_weight`.
        validation_fraction: of the rows of each class, what early stopping keeps to validate on.
        early_stopping: watch the loss of these rows, the column val_loss, instead of that of training.
        callbacks: those of `tn.train`, or functions of the run to call after every epoch; no `Checkpoint`.
        compile: replay steps instead of running them op by op, as `tn.compile` does.
        random_state: an integer for the same network each time: of the first weights, the order of rows, dropout, and
            what is held out.
        verbose: report to the standard output after every epoch.

    Attributes:
        classes_: the labels, sorted; the columns of `predict_proba`.
        model_, optimizer_: the network, and what trains it.
        history_: columns loss, val_loss with early stopping, and seconds, of the latest fit or partial_fit.
        loss_curve_, n_iter_: the loss of every epoch since the network was made, and their number.
        n_features_in_, feature_names_in_: of the rows that the network was made for.

    Raises:
        SettingError, ArgumentError: in `fit`, a setting that is none; says what to write.
        NonFinite: in `fit`, the loss became infinite or NaN.

    Example:
        >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> y = ["same", "other", "other", "same"]
        >>> model = NetClassifier((16,), learning_rate_init=0.05, random_state=0).fit(X, y)
        >>> model.predict(X).tolist(), model.predict_proba(X).shape
        (['same', 'other', 'other', 'same'], (4, 2))
    """

    classes_: Array
    _default_loss = staticmethod(losses.cross_entropy)

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
        class_weight: ClassWeight = None,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        callbacks: Iterable[Watcher] = (),
        compile: bool = False,  # noqa: A002  the word of tn.compile
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            module=module,
            dropout=dropout,
            loss=loss,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_iter=max_iter,
            validation_fraction=validation_fraction,
            early_stopping=early_stopping,
            callbacks=callbacks,
            compile=compile,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network; `sample_weight` is what each row counts, (N,).

        Raises:
            LabelError: the labels are all the same, or of several classes a row.
        """
        X, y = self._rows_and_labels(X, y, reset=True)
        classes = unique_labels(y)
        if len(classes) < 2:
            raise LabelError(f"NetClassifier: y has one class, {classes[0]}, and it takes two to tell apart")
        arrays = self._arrays(X, y, classes, sample_weight)
        self._fit(arrays, len(classes), arrays[1])
        self.classes_ = classes
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these rows, from where the network is, with the optimizer as it is.

        Args:
            X, y: rows and their labels.
            classes: all labels that there will be; needed by the first call, and the same in later ones.
            sample_weight: what each row counts.

        Raises:
            ArgumentError: the first call has no `classes`.
            LabelError: `classes` are others than before; a label that is not among them.
            SettingError: class_weight="balanced", for which all rows would have to be known.
        """
        started = self.__sklearn_is_fitted__()
        if classes is None and not started:
            raise ArgumentError(
                "NetClassifier: the first call of partial_fit needs all labels that there will be\n"
                "  hint   partial_fit(X, y, classes=np.unique(all_labels))"
            )
        labels = self.classes_ if classes is None else unique_labels(classes)
        if started and not np.array_equal(labels, self.classes_):
            raise LabelError(
                f"NetClassifier: classes are {labels}, and were {self.classes_} in the first call of partial_fit"
            )
        if isinstance(self.class_weight, str):
            raise SettingError(
                f"NetClassifier: class_weight={self.class_weight!r} needs all rows, and partial_fit sees some\n"
                '  hint   class_weight=dict(zip(classes, compute_class_weight("balanced", classes=classes, y=all_y)))'
            )
        X, y = self._rows_and_labels(X, y, reset=not started)
        if len(unknown := np.setdiff1d(y, labels)):
            raise LabelError(
                f"NetClassifier: y has labels {unknown}, which are not among the classes {labels}"
            )
        self._fit_further(self._arrays(X, y, labels, sample_weight), len(labels))
        self.classes_ = labels
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the most probable label of each row."""
        scores = self._outputs(X)
        found: Array = self.classes_[scores.argmax(axis=1)]
        return found

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probabilities of the classes, (N, classes), in the order of `classes_`: softmax of the scores."""
        found: Array = softmax(self._outputs(X).astype(np.float64))
        return found

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithms of the probabilities, of which none is lost where a probability rounds to 0."""
        found: Array = log_softmax(self._outputs(X).astype(np.float64))
        return found

    def _rows_and_labels(self, X: ArrayLike, y: ArrayLike, *, reset: bool) -> tuple[Array, Array]:
        if y is not None and type_of_target(y).startswith("multilabel"):
            raise LabelError(
                "NetClassifier: y has several labels for a row, and one is expected\n"
                "  hint   sklearn.multioutput.MultiOutputClassifier(NetClassifier()), or y.argmax(axis=1) for one-hot"
            )
        rows, labels = validate_data(self, X, y, dtype=REAL, reset=reset)
        check_classification_targets(labels)
        return rows, labels

    def _arrays(self, X: Array, y: Array, classes: Array, sample_weight: ArrayLike | None) -> Arrays:
        """Return the rows that count, the places of their labels among the classes, and their weights."""
        weights = self._weights(X, sample_weight)
        targets = np.searchsorted(classes, y)
        if self.class_weight is not None:
            of_classes = compute_class_weight(self.class_weight, classes=classes, y=y).astype(X.dtype)[
                targets
            ]
            weights = of_classes if weights is None else weights * of_classes
        return self._counting(X, targets, weights)
