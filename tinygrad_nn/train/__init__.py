"""Training: `fit`, `evaluate`, `predict`, and the callbacks that watch over them."""

from typing import TYPE_CHECKING

from tinygrad_nn.hints.lookups import face
from tinygrad_nn.train.averaging import EMA
from tinygrad_nn.train.callbacks import Checkpoint, EarlyStopping, LearningRate, ReduceOnPlateau
from tinygrad_nn.train.history import Best, History
from tinygrad_nn.train.loop import evaluate, fit, predict
from tinygrad_nn.train.metrics import METRICS, accuracy, binary_accuracy, top_k_accuracy
from tinygrad_nn.train.progress import Progress
from tinygrad_nn.train.run import Callback, Run

__all__ = [
    "EMA",
    "METRICS",
    "Best",
    "Callback",
    "Checkpoint",
    "Doctor",
    "EarlyStopping",
    "Film",
    "History",
    "LearningRate",
    "Progress",
    "Rates",
    "ReduceOnPlateau",
    "Run",
    "WeightPath",
    "accuracy",
    "binary_accuracy",
    "evaluate",
    "examine",
    "find_rate",
    "fit",
    "predict",
    "top_k_accuracy",
]

if TYPE_CHECKING:
    from tinygrad_nn.train.doctor import Doctor, examine
    from tinygrad_nn.train.film import Film
    from tinygrad_nn.train.path import WeightPath
    from tinygrad_nn.train.rates import Rates, find_rate
else:
    # Most trainings are not watched as closely.
    _LATER = {
        "Doctor": "tinygrad_nn.train.doctor",
        "examine": "tinygrad_nn.train.doctor",
        "Film": "tinygrad_nn.train.film",
        "WeightPath": "tinygrad_nn.train.path",
        "Rates": "tinygrad_nn.train.rates",
        "find_rate": "tinygrad_nn.train.rates",
    }
    __getattr__, __dir__ = face(globals(), later=_LATER)
