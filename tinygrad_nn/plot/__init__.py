"""Pictures of data, models and training, with matplotlib (extra `plot`).

Every function draws on `ax=` if it is given one, and on a new figure otherwise; it returns the axes and never
shows anything by itself.
"""

from typing import TYPE_CHECKING

from tinygrad_nn.hints.lookups import face
from tinygrad_nn.plot.canvas import COLORS
from tinygrad_nn.plot.classes import confusion, decision_boundary, scatter
from tinygrad_nn.plot.descent import descent
from tinygrad_nn.plot.gradients import agreement
from tinygrad_nn.plot.learning import HistoryLike, RatesLike, activations, gradient_flow, history, rates
from tinygrad_nn.plot.pictures import images, weights

__all__ = [
    "COLORS",
    "HistoryLike",
    "RatesLike",
    "activations",
    "agreement",
    "confusion",
    "decision_boundary",
    "descent",
    "gradient_flow",
    "history",
    "images",
    "rates",
    "scatter",
    "weights",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
