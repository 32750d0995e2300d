"""Checks of derivatives, for this library's ops and for yours."""

from typing import TYPE_CHECKING

from tinygrad_nn.errors import CheckFailed, GradientMismatch
from tinygrad_nn.hints.lookups import face
from tinygrad_nn.testing import battery, strategies
from tinygrad_nn.testing.check_module import check_module
from tinygrad_nn.testing.check_op import OpReport, check_op
from tinygrad_nn.testing.check_optimizer import check_optimizer
from tinygrad_nn.testing.gradcheck import GradcheckReport, gradcheck
from tinygrad_nn.testing.numerical import directional_derivative, numerical_gradient, numerical_jacobian
from tinygrad_nn.testing.report import report

__all__ = [
    "CheckFailed",
    "GradcheckReport",
    "GradientMismatch",
    "OpReport",
    "battery",
    "check_module",
    "check_op",
    "check_optimizer",
    "directional_derivative",
    "gradcheck",
    "numerical_gradient",
    "numerical_jacobian",
    "report",
    "strategies",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
