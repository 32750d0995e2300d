"""Networks as estimators of scikit-learn (extra `sklearn`): for pipelines, searches, cross-validation, pickles."""

from typing import TYPE_CHECKING

try:
    from sklearn.utils.validation import validate_data as _since_1_6  # noqa: F401
except ImportError:
    raise ImportError(
        'tinygrad_nn.sklearn needs scikit-learn, 1.6 or later\n  hint   pip install "tinygrad_nn[sklearn]"'
    ) from None

from tinygrad_nn.hints.lookups import face
from tinygrad_nn.sklearn.classifier import NetClassifier
from tinygrad_nn.sklearn.regressor import NetRegressor

__all__ = ["NetClassifier", "NetRegressor"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
