"""What the compiler knows of ops: one row each, keyed by the op itself.

An op without a row is run as it is, and its result copied to where it belongs; a ufunc writes there by itself. A row
makes it faster. What a row says, each stage reads: the passes, `find_views`, the NumPy backend, the loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tinygrad_nn.compiler.kernels import general as kernels
from tinygrad_nn.compiler.works import columns, elementwise, rows
from tinygrad_nn.compiler.works import general as works
from tinygrad_nn.ops import (
    activation,
    arithmetic,
    attention,
    batch_norm,
    embedding,
    fused_losses,
    indexing,
    normalisation,
    reduction,
    shape,
)
from tinygrad_nn.optim import adam, clipping, sgd
from tinygrad_nn.primitives import REGISTRY, Array, Primitive


@dataclass(slots=True, frozen=True, kw_only=True)
class Row:
    """What the compiler knows of one op.

    Attributes:
        neutral: the operands that change nothing where they are the number 1.
        keeps: whether its operand stands for its result, if that has the same shape and dtype.
        view: how its result is made, if that may be a view of its operand.
        permutes: whether that view has the same axes in another order.
        any_order: whether it writes a result of more than two axes as fast where these lie in another order.
        selects: whether bools among its operands after the first say how many elements its result has.
        fills: whether it is an update that fills its first operand without reading it.
        labels: the operand that holds labels, for the columns of the first.
        into: makes, for one call, a function that writes its result into an array.
        in_place: the operands that this function may write over.
        scratch: whether that function needs the array of the residual, wanted or not.
        loop: the result of one element in a fused loop: operands by their number, {T} is the type, {w} its width;
            or what writes it for one call.
        bools: the operands of the loop that are bools; all others are not.
        slow_in_narrow_loops: whether the loop should be long, because it calls a function that vectorises.
        sums: whether a loop over its operand can sum it too.
        loops: writes, for one call, loops of its own, which join others.
        work: finds, for one call, a compiled function that does it alone, because it takes long.
    """

    neutral: tuple[int, ...] = ()
    keeps: bool = False
    view: Callable[..., Array] | None = None
    permutes: bool = False
    any_order: bool = False
    selects: bool = False
    fills: bool = False
    labels: int | None = None
    into: kernels.Build | None = None
    in_place: tuple[int, ...] = ()
    scratch: bool = False
    loop: str | elementwise.BuildElement = ""
    bools: tuple[int, ...] = ()
    slow_in_narrow_loops: bool = False
    sums: bool = False
    loops: works.BuildLoops | None = None
    work: works.BuildWork | None = None


def _transposed(x: Array, axes: tuple[int, ...] | None = None) -> Array:
    return x.T if axes is None else x.transpose(axes)


ROWS: dict[object, Row] = {
    np.add: Row(loop="{0} + {1}"),
    np.subtract: Row(loop="{0} - {1}"),
    np.multiply: Row(loop="{0} * {1}", neutral=(0, 1)),
    np.divide: Row(loop="{0} / {1}", neutral=(1,)),
    np.negative: Row(loop="-{0}"),
    np.positive: Row(loop="{0}", keeps=True),
    np.reciprocal: Row(loop="{T}(1) / {0}"),
    np.square: Row(loop="{0} * {0}"),
    np.sqrt: Row(loop="math.sqrt({0})"),
    np.absolute: Row(loop="abs({0})"),
    np.power: Row(loop=elementwise.power, into=kernels.power, neutral=(1,)),
    np.exp: Row(loop="exp{w}({0})", slow_in_narrow_loops=True),
    np.expm1: Row(loop="expm1_{w}({0})", slow_in_narrow_loops=True),
    np.tanh: Row(loop="tanh{w}({0})", slow_in_narrow_loops=True),
    np.maximum: Row(
        loop="({0} if {0} > {1} or {0} != {0} else {1})",
        into=partial(kernels.extremum, np.maximum),
        in_place=(0, 1),
    ),
    np.minimum: Row(
        loop="({0} if {0} < {1} or {0} != {0} else {1})",
        into=partial(kernels.extremum, np.minimum),
        in_place=(0, 1),
    ),
    np.clip: Row(loop=elementwise.clip, into=kernels.clip, in_place=(0,)),
    np.where: Row(loop="({1} if {0} else {2})", bools=(0,), into=kernels.where, in_place=(1,)),
    np.greater: Row(loop="{0} > {1}"),
    np.greater_equal: Row(loop="{0} >= {1}"),
    np.less: Row(loop="{0} < {1}"),
    np.less_equal: Row(loop="{0} <= {1}"),
    np.equal: Row(loop="{0} == {1}"),
    np.not_equal: Row(loop="{0} != {1}"),
    np.logical_and: Row(loop="{0} & {1}", bools=(0, 1)),
    np.logical_or: Row(loop="{0} | {1}", bools=(0, 1)),
    arithmetic.product: Row(
        loop="({T}(0) if {0} == 0 else {0} * {1})", into=partial(kernels.careful, np.multiply)
    ),
    arithmetic.quotient: Row(
        loop="({T}(0) if {0} == 0 else {0} / {1})", into=partial(kernels.careful, np.divide)
    ),
    activation.sigmoid: Row(
        loop="sigmoid{w}({0})", slow_in_narrow_loops=True, into=kernels.sigmoid, in_place=(0,)
    ),
    activation.relu: Row(loop="({0} if {0} > 0 or {0} != {0} else {T}(0))", into=kernels.relu, in_place=(0,)),
    activation.leaky_relu: Row(loop=elementwise.leaky_relu),
    activation.elu: Row(loop=elementwise.elu, slow_in_narrow_loops=True),
    activation.silu: Row(
        loop="({T}(-1e4) if {0} < {T}(-1e4) else {0}) * sigmoid{w}({0})", slow_in_narrow_loops=True
    ),
    activation.gelu_tanh: Row(loop="gelu_tanh{w}({0})", slow_in_narrow_loops=True),
    activation.gelu_tanh_slope: Row(loop="gelu_tanh_slope{w}({0})", slow_in_narrow_loops=True),
    activation.softmax: Row(into=kernels.softmax, in_place=(0,), work=rows.softmax),
    activation.softmax_back: Row(work=rows.softmax_back),
    attention.softmax_of_some: Row(work=rows.softmax_of_some),
    normalisation.means_of_rows: Row(work=rows.mean),
    normalisation.standardized: Row(work=rows.standardized),
    normalisation.standardized_back: Row(work=rows.standardized_back),
    np.sum: Row(into=kernels.total, work=rows.total),
    np.mean: Row(into=kernels.mean, work=rows.mean),
    np.max: Row(into=partial(kernels.extreme, np.maximum), work=rows.largest),
    np.min: Row(into=partial(kernels.extreme, np.minimum), work=rows.smallest),
    reduction.sum_to: Row(keeps=True, into=kernels.sum_to, sums=True),
    shape.astype: Row(into=kernels.astype),
    np.concatenate: Row(into=kernels.concatenate),
    np.transpose: Row(view=_transposed, permutes=True),
    np.swapaxes: Row(view=np.swapaxes, permutes=True),
    np.reshape: Row(view=shape.reshaped, keeps=True),
    np.broadcast_to: Row(view=np.broadcast_to, keeps=True),
    np.expand_dims: Row(view=np.expand_dims, keeps=True),
    np.squeeze: Row(view=np.squeeze, keeps=True),
    indexing.getitem: Row(view=indexing.getitem.function, selects=True),
    indexing.scatter: Row(into=kernels.scatter, work=rows.added_rows),
    embedding.embedding: Row(into=kernels.embedding),
    np.matmul: Row(into=kernels.matmul, any_order=True, loops=works.small_product),
    fused_losses.minus_one_hot: Row(labels=1, into=kernels.minus_one_hot, in_place=(0,)),
    fused_losses.nll: Row(labels=1, into=kernels.nll),
    fused_losses.cross_entropy: Row(
        labels=1, into=kernels.cross_entropy, scratch=True, loops=works.cross_entropy
    ),
    batch_norm.scaled_columns: Row(work=columns.scaled_columns),
    sgd.sgd_update: Row(loops=works.sgd),
    adam.adam_update: Row(loops=works.adam),
    clipping.gradient_norm: Row(fills=True),
}
"""By NumPy's function, as the registry has it, or by the kernel itself."""


def op_of(key: object) -> Primitive:
    """Return the op that stands for a function of NumPy; an op itself as it is."""
    record = REGISTRY.get(key, key)
    assert isinstance(record, Primitive)
    return record


CATALOGUE = {op_of(key): row for key, row in ROWS.items()}
_NOTHING = Row()


def row_of(op: Primitive) -> Row:
    """Return what the compiler knows of an op."""
    return CATALOGUE.get(op, _NOTHING)
