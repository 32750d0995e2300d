"""What the compiler knows of ops: one row each, keyed by the op itself.

An op without a row is run as it is, and its result copied to where it belongs; a ufunc writes there by itself. A row
makes it faster. What a row says, each stage reads: the passes, `find_views`, the NumPy backend, the loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tinygrad_nn.compiler.kernels import general as kernels
from tinygrad_nn.compiler.kernels import recurrent as sequences
from tinygrad_nn.compiler.works import columns, convolutions, elementwise, products, recurrent, rows, windows
from tinygrad_nn.compiler.works import general as works
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.ops import (
    activation,
    arithmetic,
    attention,
    batch_norm,
    convolution_kernels,
    embedding,
    fused_losses,
    indexing,
    normalisation,
    pooling,
    random,
    reduction,
    shape,
)
from tinygrad_nn.ops import recurrent as networks
from tinygrad_nn.optim import adam, clipping, sgd
from tinygrad_nn.primitives import Array, Primitive, Shape
from tinygrad_nn.primitives.primitive import primitive_of


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
        besides: ops of the same operands and parameters whose results `into` and `work` can fill too, after its own.
        into: makes, for one call, a function that writes its result into an array.
        room: the shape of a further array that this function is given, after the one that it fills.
        shape_alone: whether `into` needs no operands: the result has all that it takes of them, their shape.
        in_place: the operands that this function may write over.
        scratch: whether that function needs the array of the residual, wanted or not.
        loop: the result of one element in a fused loop: operands by their number, {T} is the type, {w} its width;
            or what writes it for one call.
        bools: the operands of the loop that are bools; all others are not.
        matrices: the operands of the loop of which each row is a column, {0[0]}, {0[1]}, to each matrix of the result.
        sums: whether a loop over its operand can sum it too.
        loops: writes, for one call, loops of its own, which join others.
        work: finds, for one call, a compiled function that does it alone, because it takes long.
        work_with: the same by an op that it can do too, where nothing else reads the result.
        divided: finds, for one call and some threads, how they can share it without compiled code.
    """

    neutral: tuple[int, ...] = ()
    keeps: bool = False
    view: Callable[..., Array] | None = None
    permutes: bool = False
    any_order: bool = False
    selects: bool = False
    fills: bool = False
    labels: int | None = None
    besides: tuple[Primitive, ...] = ()
    into: kernels.Build | None = None
    room: Callable[[Call], Shape] | None = None
    shape_alone: bool = False
    in_place: tuple[int, ...] = ()
    scratch: bool = False
    loop: str | elementwise.BuildElement = ""
    bools: tuple[int, ...] = ()
    matrices: tuple[int, ...] = ()
    sums: bool = False
    loops: works.BuildLoops | None = None
    work: works.BuildWork | None = None
    work_with: Mapping[Primitive, works.BuildWork] = field(default_factory=dict)
    divided: works.BuildDivided | None = None


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
    np.exp: Row(loop="exp{w}({0})"),
    np.expm1: Row(loop="expm1_{w}({0})"),
    np.tanh: Row(loop="tanh{w}({0})"),
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
    activation.sigmoid: Row(loop="sigmoid{w}({0})", into=kernels.sigmoid, in_place=(0,)),
    activation.relu: Row(loop="({0} if {0} > 0 or {0} != {0} else {T}(0))", into=kernels.relu, in_place=(0,)),
    activation.leaky_relu: Row(loop=elementwise.leaky_relu),
    activation.elu: Row(loop=elementwise.elu),
    activation.silu: Row(loop="({T}(-1e4) if {0} < {T}(-1e4) else {0}) * sigmoid{w}({0})"),
    activation.gelu_tanh: Row(loop="gelu_tanh{w}({0})"),
    activation.gelu_tanh_slope: Row(loop="gelu_tanh_slope{w}({0})"),
    activation.softmax: Row(into=kernels.softmax, in_place=(0,), work=rows.softmax),
    activation.softmax_back: Row(work=rows.softmax_back),
    attention.softmax_of_some: Row(work=rows.softmax_of_some),
    normalisation.means_of_rows: Row(work=rows.mean),
    normalisation.standardized: Row(work=rows.standardized),
    normalisation.standardized_back: Row(work=rows.standardized_back),
    np.sum: Row(into=kernels.total, work=works.first_of(columns.column_sums, rows.total)),
    np.mean: Row(into=kernels.mean, work=works.first_of(columns.column_means, rows.mean)),
    np.max: Row(into=partial(kernels.extreme, np.maximum), work=rows.largest),
    np.min: Row(into=partial(kernels.extreme, np.minimum), work=rows.smallest),
    reduction.sum_to: Row(
        keeps=True, into=kernels.sum_to, sums=True, loops=columns.short_sum_to, work=columns.sum_to
    ),
    shape.astype: Row(into=kernels.astype),
    np.concatenate: Row(into=kernels.concatenate, loops=works.concatenate),
    np.transpose: Row(view=_transposed, permutes=True),
    np.swapaxes: Row(view=np.swapaxes, permutes=True),
    np.reshape: Row(view=shape.reshaped, keeps=True),
    np.broadcast_to: Row(view=np.broadcast_to, keeps=True),
    np.expand_dims: Row(view=np.expand_dims, keeps=True),
    np.squeeze: Row(view=np.squeeze, keeps=True),
    indexing.getitem: Row(view=indexing.getitem.function, selects=True),
    indexing.scatter: Row(into=kernels.scatter, work=rows.added_rows),
    embedding.embedding: Row(into=kernels.embedding),
    np.matmul: Row(
        into=kernels.matmul,
        any_order=True,
        loops=works.small_product,
        work=products.tiled_product,
        divided=products.divided_product,
    ),
    fused_losses.minus_one_hot: Row(labels=1, into=kernels.minus_one_hot, in_place=(0,)),
    fused_losses.nll: Row(labels=1, into=kernels.nll),
    fused_losses.cross_entropy: Row(
        labels=1, into=kernels.cross_entropy, scratch=True, loops=works.cross_entropy
    ),
    convolution_kernels.convolution: Row(
        into=partial(kernels.filled, convolution_kernels.fill_convolution),
        work=convolutions.convolution,
        work_with={activation.relu: convolutions.convolution_and_relu},
    ),
    convolution_kernels.biased_convolution: Row(
        into=partial(kernels.filled, convolution_kernels.fill_biased),
        work=convolutions.convolution,
        work_with={activation.relu: convolutions.convolution_and_relu},
    ),
    convolution_kernels.transposed_convolution: Row(
        into=partial(kernels.filled, convolution_kernels.fill_transposed),
        work=convolutions.transposed_convolution,
    ),
    convolution_kernels.weights_of_convolution: Row(
        into=partial(kernels.filled, convolution_kernels.fill_weights),
        work=convolutions.weights_of_convolution,
    ),
    batch_norm.column_moments: Row(work=columns.column_moments),
    batch_norm.column_products: Row(work=columns.column_products),
    batch_norm.normalising_columns: Row(loops=columns.normalising_columns),
    batch_norm.running_update: Row(loops=columns.running_update),
    batch_norm.scaled_columns: Row(
        loop="({0} - {1[0]}) * {1[1]} + {1[2]}",
        matrices=(1,),
        into=partial(kernels.filled, batch_norm.fill_scaled_columns),
        in_place=(0,),
    ),
    random.keep_mask: Row(into=kernels.keep_mask, shape_alone=True),
    pooling.largest: Row(
        into=partial(kernels.filled, pooling.fill_largest),
        besides=(pooling.first_largest,),
        work=windows.largest,
    ),
    pooling.put_at: Row(into=partial(kernels.filled, pooling.fill_put_at), work=windows.put_at),
    pooling.averages: Row(into=partial(kernels.filled, pooling.fill_averages), work=windows.averages),
    pooling.spread: Row(into=partial(kernels.filled, pooling.fill_spread), work=windows.spread),
    networks.lstm_states: Row(into=sequences.lstm_states, work=partial(recurrent.walk, "lstm_walk", 4)),
    networks.gru_states: Row(into=sequences.gru_states, work=partial(recurrent.walk, "gru_walk", 4)),
    networks.rnn_states: Row(into=sequences.rnn_states, work=partial(recurrent.walk, "rnn_walk", 0)),
    networks.lstm_back: Row(
        into=sequences.lstm_back,
        room=sequences.lstm_room,
        work=partial(recurrent.walk_back, "lstm_walk_back", 2, 4, 4),
    ),
    networks.gru_back: Row(
        into=sequences.gru_back,
        room=sequences.gru_room,
        work=partial(recurrent.walk_back, "gru_walk_back", 1, 3, 4),
    ),
    networks.rnn_back: Row(
        into=sequences.rnn_back,
        room=sequences.rnn_room,
        work=partial(recurrent.walk_back, "rnn_walk_back", 1, 1, 1),
    ),
    sgd.sgd_update: Row(loops=works.sgd),
    adam.adam_update: Row(loops=works.adam),
    clipping.gradient_norm: Row(fills=True),
}
"""By NumPy's function, as the registry has it, or by the kernel itself."""


CATALOGUE = {primitive_of(key): row for key, row in ROWS.items()}
_NOTHING = Row()


def row_of(op: Primitive) -> Row:
    """Return what the compiler knows of an op."""
    return CATALOGUE.get(op, _NOTHING)
