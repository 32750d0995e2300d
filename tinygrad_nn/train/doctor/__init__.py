"""The doctor: what is wrong with a training, with the numbers that show it and the line to write."""

from tinygrad_nn.train.doctor.doctor import Doctor
from tinygrad_nn.train.doctor.examining import examine
from tinygrad_nn.train.doctor.ills import NAMES
from tinygrad_nn.train.doctor.report import Finding, Report

__all__ = ["NAMES", "Doctor", "Finding", "Report", "examine"]
