"""NetRegressor: a network that predicts numbers, as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Self

from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import column_or_1d, validate_data

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn import losses
from tinygrad_nn.primitives import Array
from tinygrad_nn.sklearn.base import REAL, Arrays, Net


class NetRegressor(RegressorMixin, Net):
    """A neural network as a regressor of scikit-learn, of one target, y of shape (N,), or several, (N, targets).

    Settings and attributes are those of `NetClassifier`, but `class_weight`, of which there is none, and `classes_`.
    The loss is `nn.losses.mse` by default; another one is given predictions and targets of shape (N, targets).

    Raises:
        SettingError, ArgumentError: in `fit`, a setting that is none; says what to write.
        NonFinite: in `fit`, the loss became infinite or NaN.

    Example:
        >>> import numpy as np
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> model = NetRegressor((32,), learning_rate_init=0.01, batch_size=20, random_state=0).fit(X, X[:, 0] ** 2)
        >>> print(model.score(X, X[:, 0] ** 2) > 0.99)
        True
    """

    _default_loss = staticmethod(losses.mse)

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network; `sample_weight` is what each row counts, (N,)."""
        arrays, columns = self._arrays(X, y, sample_weight, reset=True)
        self._fit(arrays, arrays[1].shape[1])
        self._columns = columns
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch on these rows, from where the network is, with the optimizer as it is.

        Raises:
            ShapeError: another number of targets than before.
        """
        started = self.__sklearn_is_fitted__()
        arrays, columns = self._arrays(X, y, sample_weight, reset=not started)
        if started and columns != self._columns:
            raise ShapeError(
                f"NetRegressor: y has shape {(len(arrays[1]), *columns)}, and was {('N', *self._columns)} before"
            )
        self._fit_further(arrays, arrays[1].shape[1])
        self._columns = columns
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the predictions for rows, (N,) or (N, targets) as y was."""
        outputs = self._outputs(X)
        return outputs.reshape(len(outputs), *self._columns)

    def _arrays(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, *, reset: bool
    ) -> tuple[Arrays, tuple[int, ...]]:
        """Return the rows, the targets as columns, and the weights; and the shape of the targets of a row."""
        rows, targets = validate_data(self, X, y, dtype=REAL, multi_output=True, y_numeric=True, reset=reset)
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = column_or_1d(targets, warn=True)
        columns = targets.reshape(len(targets), -1).astype(rows.dtype, copy=False)
        return self._counting(rows, columns, self._weights(rows, sample_weight)), targets.shape[1:]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
