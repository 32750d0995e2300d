"""Reverse-mode automatic differentiation and small neural networks on NumPy."""

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn import data, errors, nn, optim, parallel, viz
from tinygrad_nn.context import enable_grad, no_grad
from tinygrad_nn.engine.autodiff import grad, gradients, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from tinygrad_nn.engine.debug import debug
from tinygrad_nn.engine.lines import record_lines
from tinygrad_nn.engine.operators import Tensor
from tinygrad_nn.engine.tensor import as_tensor, tensor
from tinygrad_nn.errors import TinygradError, UsageWarning
from tinygrad_nn.graph.recorder import trace
from tinygrad_nn.graph.remat import remat
from tinygrad_nn.hints.lookups import face
from tinygrad_nn.ops.activation import (
    elu,
    gelu,
    gelu_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    xlogy,
)
from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.ops.attention import attention
from tinygrad_nn.ops.batch_norm import batch_norm, group_norm
from tinygrad_nn.ops.convolution import conv, conv_transpose
from tinygrad_nn.ops.decompositions import solve_triangular
from tinygrad_nn.ops.embedding import embedding, one_hot
from tinygrad_nn.ops.gamma import digamma, gammaln, i1
from tinygrad_nn.ops.normalisation import layer_norm, rms_norm
from tinygrad_nn.ops.pooling import avg_pool, max_pool
from tinygrad_nn.ops.random import dropout, keep_mask
from tinygrad_nn.ops.recurrent import gru, lstm, rnn
from tinygrad_nn.ops.reduction import logsumexp
from tinygrad_nn.ops.resize import resize
from tinygrad_nn.ops.running import cumlogsumexp
from tinygrad_nn.ops.special import erf, erfc, erfcx, erfinv, log_ndtr, logit, ndtr
from tinygrad_nn.primitives import REGISTRY, kernel, op

if TYPE_CHECKING:
    from tinygrad_nn import export, interop, plot, sklearn, testing, train
    from tinygrad_nn.checkpoint import load, load_model, save
    from tinygrad_nn.compiler.compiled import compile
    from tinygrad_nn.compiler.profiling import profile

__version__ = "1.0.0"
__all__ = [
    "REGISTRY",
    "Tensor",
    "TinygradError",
    "UsageWarning",
    "as_tensor",
    "attention",
    "avg_pool",
    "batch_norm",
    "compile",
    "conv",
    "conv_transpose",
    "cumlogsumexp",
    "data",
    "debug",
    "digamma",
    "dropout",
    "elu",
    "embedding",
    "enable_grad",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "errors",
    "export",
    "gammaln",
    "gelu",
    "gelu_tanh",
    "grad",
    "gradients",
    "group_norm",
    "gru",
    "hessian",
    "hvp",
    "i1",
    "interop",
    "jacobian",
    "jvp",
    "keep_mask",
    "kernel",
    "layer_norm",
    "leaky_relu",
    "load",
    "load_model",
    "log_ndtr",
    "log_sigmoid",
    "log_softmax",
    "logit",
    "logsumexp",
    "lstm",
    "max_pool",
    "ndtr",
    "nn",
    "no_grad",
    "one_hot",
    "op",
    "optim",
    "parallel",
    "plot",
    "product",
    "profile",
    "quotient",
    "record_lines",
    "relu",
    "remat",
    "resize",
    "rms_norm",
    "rnn",
    "save",
    "sigmoid",
    "silu",
    "sklearn",
    "softmax",
    "softplus",
    "solve_triangular",
    "tensor",
    "testing",
    "trace",
    "train",
    "value_and_grad",
    "viz",
    "vjp",
    "xlogy",
]

_ON_FIRST_USE = {
    "compile": "tinygrad_nn.compiler.compiled",
    "export": "tinygrad_nn.export",
    "interop": "tinygrad_nn.interop",
    "load": "tinygrad_nn.checkpoint",
    "load_model": "tinygrad_nn.checkpoint",
    "plot": "tinygrad_nn.plot",
    "profile": "tinygrad_nn.compiler.profiling",
    "save": "tinygrad_nn.checkpoint",
    "sklearn": "tinygrad_nn.sklearn",
    "testing": "tinygrad_nn.testing",
    "train": "tinygrad_nn.train",
}


def _in_numpy(name: str) -> str:
    function = getattr(np, name, None)
    return f"np.{name}: NumPy's functions take tensors" if callable(function) and function in REGISTRY else ""


if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals(), later=_ON_FIRST_USE, elsewhere=_in_numpy)
    # What a user calls is another function now.
    for _name in __all__:
        _record, _function = REGISTRY.get(_name), globals().get(_name)
        if _record is not None and _record.key is getattr(_function, "__wrapped__", None):
            _record.key = _function
