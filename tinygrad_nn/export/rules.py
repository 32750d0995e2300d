"""The derivative rules as a person would write them, keyed by the op: comments of exported files."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.ops import (
    activation,
    attention,
    convolution_kernels,
    embedding,
    fused_losses,
    indexing,
    normalisation,
    pooling,
)
from tinygrad_nn.primitives import Primitive
from tinygrad_nn.primitives.primitive import primitive_of

RULES: dict[Primitive, tuple[str, ...]] = {
    primitive_of(key): rules
    for key, rules in {
        np.add: ("g", "g"),
        np.subtract: ("g", "-g"),
        np.multiply: ("g * b", "g * a"),
        np.divide: ("g / b", "-g * a / b**2"),
        np.matmul: ("g @ b.T", "a.T @ g"),
        np.negative: ("-g",),
        np.exp: ("g * y",),
        np.log: ("g / x",),
        np.sqrt: ("g / (2 * y)",),
        np.square: ("2 * g * x",),
        np.tanh: ("g * (1 - y * y)",),
        np.sin: ("g * cos(x)",),
        np.cos: ("-g * sin(x)",),
        np.power: ("g * b * a**(b - 1)", "g * y * log(a)"),
        np.maximum: ("g where a is larger", "g where b is larger"),
        np.where: ("", "g where a is taken", "g where b is taken"),
        np.sum: ("g for each element",),
        np.mean: ("g / count for each element",),
        np.max: ("g for the largest element",),
        np.reshape: ("g in the old shape",),
        np.transpose: ("g with the axes back",),
        np.swapaxes: ("g with the axes back",),
        np.concatenate: ("its part of g",),
        activation.relu: ("g * (y > 0)",),
        activation.sigmoid: ("g * y * (1 - y)",),
        activation.softmax: ("y * (g - sum(g * y))",),
        attention.softmax_of_some: ("y * (g - sum(g * y))", ""),
        activation.gelu_tanh: ("g * slope(x)",),
        fused_losses.cross_entropy: ("g * (softmax(logits) - one_hot(labels)) / count", ""),
        fused_losses.binary_cross_entropy_elements: ("g * (sigmoid(logits) - targets)", ""),
        normalisation.standardized: ("(g - mean(g) - y * mean(g * y)) / sqrt(variance + eps)", ""),
        embedding.embedding: ("g added to the rows that were looked up", ""),
        indexing.getitem: ("g at the place that was read, zeros elsewhere",),
        pooling.largest: ("g at the largest element of each window",),
        pooling.averages: ("an equal share of g for each element of a window",),
        convolution_kernels.convolution: (
            "g through the weights, put back",
            "inputs under each place times g",
        ),
        convolution_kernels.biased_convolution: (
            "g through the weights, put back where it came from",
            "for each place of the window, the inputs under it times g",
            "g, summed over samples and places",
        ),
    }.items()
}
"""The derivative rules as a person would write them: g comes from the result y, for operands x, or a and b."""
