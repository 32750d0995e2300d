"""Each op in Python with NumPy: the one table, keyed by the op, of functions of a `Wording`.

A function of NumPy is called by its name, an op of this library by an expression or a function of `plain`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_nn.export import plain, plain_updates
from tinygrad_nn.export.expressions import ATOM, COMPARED, PLUS, POWER, SIGN, TIMES, Size, Text
from tinygrad_nn.export.lines import Line, is_rows
from tinygrad_nn.export.wording import Wording, setting
from tinygrad_nn.ops import (
    activation,
    arithmetic,
    attention,
    batch_norm,
    convolution_kernels,
    embedding,
    fused_losses,
    indexing,
    linalg,
    normalisation,
    norms,
    pooling,
    random,
    reduction,
    shape,
    special,
)
from tinygrad_nn.ops.windows import Window
from tinygrad_nn.primitives import REGISTRY, Function, Primitive
from tinygrad_nn.primitives.primitive import primitive_of

Spelling = Callable[[Wording], Text]

_METHODS = ["sum", "mean", "max", "min", "prod", "var", "std", "argmax", "argmin"]

_SIGNS = {
    np.add: ("+", PLUS),
    np.subtract: ("-", PLUS),
    np.multiply: ("*", TIMES),
    np.divide: ("/", TIMES),
    np.floor_divide: ("//", TIMES),
    np.remainder: ("%", TIMES),
    np.matmul: ("@", TIMES),
    np.power: ("**", POWER),
    np.greater: (">", COMPARED),
    np.greater_equal: (">=", COMPARED),
    np.less: ("<", COMPARED),
    np.less_equal: ("<=", COMPARED),
    np.equal: ("==", COMPARED),
    np.not_equal: ("!=", COMPARED),
    # Of zeros beside infinities these make zeros, which is for numbers that a training should not reach.
    arithmetic.both: ("*", TIMES),
    arithmetic.quotient: ("/", TIMES),
}

_HELPED: dict[Primitive, Callable[..., object]] = {
    activation.sigmoid: plain.sigmoid,
    activation.softplus: plain.softplus,
    activation.elu: plain.elu,
    activation.gelu_exact: plain.gelu,
    activation.gelu_tanh: plain.gelu_tanh,
    activation.gelu_tanh_slope: plain.gelu_tanh_slope,
    activation.softmax: plain.softmax,
    activation.softmax_back: plain.softmax_back,
    activation.xlogy: plain.xlogy,
    special.erf: plain.erf,
    arithmetic.part: plain.part,
    attention.softmax_of_some: plain.masked_softmax,
    reduction.logsumexp: plain.logsumexp,
    fused_losses.cross_entropy: plain.cross_entropy,
    fused_losses.minus_one_hot: plain.minus_one_hot,
    fused_losses.binary_cross_entropy_elements: plain.binary_cross_entropy,
    fused_losses.huber_elements: plain.huber,
    normalisation.standardized: plain.standardized,
    normalisation.standardized_back: plain.standardized_back,
    normalisation.in_unit_squares: plain.root_mean_square_norm,
    batch_norm.column_moments: plain.column_moments,
    batch_norm.column_products: plain.column_products,
    batch_norm.normalising_columns: plain.normalising_columns,
    batch_norm.scaled_columns: plain.scaled_columns,
}


def _home(function: Function) -> str:
    """Return the module of NumPy in which a function is, if it is one of NumPy; not every ufunc tells."""
    own = isinstance(function, np.ufunc) and getattr(np, function.__name__, None) is function
    home = "numpy" if own else getattr(function, "__module__", "")
    return home if home.partition(".")[0] == "numpy" else ""


def _numpy(function: Function) -> Spelling:
    name = f"np{_home(function).removeprefix('numpy')}.{function.__name__}"
    return lambda c: c.call(name, *c.all(), **c.params)


def _method(name: str) -> Spelling:
    def spelled(c: Wording) -> Text:
        axis = c.params.get("axis")
        return c.method(
            name, **c.params | ({"axis": axis[0]} if isinstance(axis, tuple) and len(axis) == 1 else {})
        )

    return spelled


def _sign(sign: str, strength: int) -> Spelling:
    return lambda c: c.infix(sign, strength)


def _helped(helper: Callable[..., object]) -> Spelling:
    return lambda c: c.help(helper, *c.all(), **c.params)


def _product(c: Wording) -> Text:
    """Spell a product, what is true or false last."""
    if c.line.operands[0].dtype.kind == "b":
        return Text(f"{c.x(1).within(TIMES)} * {c.x(0).within(TIMES + 1)}", TIMES)
    return c.infix("*", TIMES)


def _negative(c: Wording) -> Text:
    return Text(f"-{c.x().within(SIGN)}", SIGN)


def _transposed(c: Wording) -> Text:
    axes = c.params.get("axes")
    return Text(f"{c.x().within(ATOM)}.T") if axes is None else c.method("transpose", tuple(axes))


def _reshape(c: Wording) -> Text:
    if is_rows(c.line):
        return c.help(plain.rows, c.x())
    shape_ = c.params.get("shape")
    order = {"order": c.params["order"]} if "order" in c.params else {}
    if isinstance(shape_, tuple) and any(isinstance(n, Size) for n in shape_):
        shape_ = c.line.shape
    return c.method("reshape", *(shape_ if isinstance(shape_, tuple) and shape_ else (shape_,)), **order)


def _sum_to(c: Wording) -> Text:
    """Sum out leading axes, then those that were stretched."""
    x, to = c.shapes[0], c.params["shape"]
    lead = len(x) - len(to)
    stretched = tuple(k for k in range(lead, len(x)) if to[k - lead] == 1 != x[k])
    first = tuple(range(lead))
    if not stretched:
        return c.method("sum", axis=first[0] if len(first) == 1 else first)
    if not lead:
        return c.method("sum", axis=stretched[0] if len(stretched) == 1 else stretched, keepdims=True)
    return Text(c.method("sum", axis=(*first, *stretched)).text + f".reshape({_inside(to)})")


def _inside(shape_: tuple[int, ...]) -> str:
    return ", ".join(map(setting, shape_)) if shape_ else "()"


def _sequence(name: str) -> Spelling:
    return lambda c: c.call(f"np.{name}", Text(f"[{', '.join(x.text for x in c.all())}]"), **c.params)


def _getitem(c: Wording) -> Text:
    x, *arrays = c.all()
    return Text(f"{x.within(ATOM)}[{c.index(c.params['index'], arrays)}]")


def _place(c: Wording, first: int) -> Text:
    """Return an index as a value."""
    arrays = c.all(first)
    index = c.params["index"]
    if len(index) == 1 and index[0] is indexing.HOLE:
        return arrays[0]
    if not index:
        return Text("()")
    return Text(f"np.s_[{c.index(index, arrays)}]")


def _scatter(c: Wording) -> Text:
    return c.help(plain_updates.added_at, c.x(), _place(c, 1), c.params["shape"])


def _add_along_axis(c: Wording) -> Text:
    values, axis = c.shapes[0], c.params["axis"] % len(c.shapes[0])
    grid = [
        Text(f"np.arange({n}).reshape({_inside((-1, *(1,) * (len(values) - k - 1)))})")
        for k, n in enumerate(values)
    ]
    place = ", ".join(c.x(1).text if k == axis else part.text for k, part in enumerate(grid))
    return c.help(plain_updates.added_at, c.x(), Text(f"({place},)"), c.line.shape)


def _windowed(helper: Callable[..., object], *more: str) -> Spelling:
    """Spell an op whose windows are a setting."""

    def spelled(c: Wording) -> Text:
        window: Window = c.params["window"]
        settings = {name: c.params[name] for name in more}
        if helper in _ANY_STEPS:
            if helper is plain.convolution_weights_back:
                settings["kernel"] = window.kernel
            settings |= {"stride": window.stride, "padding": window.padding}
            settings |= {"dilation": window.dilation} if max(window.dilation) > 1 else {}
            settings |= {"groups": c.params["groups"]} if c.params["groups"] > 1 else {}
        else:
            settings |= {"kernel": window.kernel, "stride": window.stride, "padding": window.padding}
        arrays = c.all()
        made = c.help(helper, *arrays[:2], **settings)
        return made if len(arrays) < 3 else Text(f"{made.text} + {arrays[2].within(TIMES)}", PLUS)

    return spelled


_ANY_STEPS = (plain.convolution, plain.convolution_back, plain.convolution_weights_back)


def _mean_of_rows(c: Wording) -> Text:
    return c.method("mean", axis=-1, keepdims=True)


def _leaky_relu(c: Wording) -> Text:
    slope = c.params.get("negative_slope", 0.01)
    if 0 <= slope <= 1:
        return Text(f"np.maximum({c.x().text}, {slope} * {c.x().within(TIMES)})")
    return Text(f"np.where({c.x().text} > 0, {c.x().text}, {slope} * {c.x().within(TIMES)})")


def _relu(c: Wording) -> Text:
    return c.call("np.maximum", c.x(), 0)


def _silu(c: Wording) -> Text:
    return Text(f"{c.x().within(TIMES)} * {c.help(plain.sigmoid, c.x()).text}", TIMES)


def _log_sigmoid(c: Wording) -> Text:
    return Text(f"-{c.help(plain.softplus, Text(f'-{c.x().within(SIGN)}')).text}", SIGN)


def _log_softmax(c: Wording) -> Text:
    settings = {"axis": c.params.get("axis", -1), "keepdims": True}
    return Text(f"{c.x().within(PLUS)} - {c.help(plain.logsumexp, c.x(), **settings).text}", PLUS)


def _euclidean(c: Wording) -> Text:
    inside = Text(f"np.square({c.x().text})")
    return c.call("np.sqrt", c.call(f"{inside.text}.sum", **c.params))


def _one_minus_erf(c: Wording) -> Text:
    return Text(f"1 - {c.help(plain.erf, c.x()).text}", PLUS)


def _ndtr(c: Wording) -> Text:
    scaled = Text(f"{c.x().within(TIMES)} / math.sqrt(2)")
    return Text(f"(1 + {c.help(plain.erf, scaled).text}) / 2", TIMES)


def _logit(c: Wording) -> Text:
    return Text(f"np.log({c.x().text} / (1 - {c.x().within(PLUS + 1)}))")


def _nll(c: Wording) -> Text:
    labels = c.x(1).text
    return Text(f"-{c.x().within(ATOM)}[np.arange(len({labels})), {labels}]", SIGN)


def _one_hot(c: Wording) -> Text:
    dtype = np.dtype(c.params.get("dtype", np.float32))
    count = c.params["num_classes"]
    return c.call(f"({c.x().within(ATOM)}[..., None] == np.arange({count})).astype", dtype)


def _einsum(c: Wording) -> Text:
    return c.call("np.einsum", c.params["subscripts"], *c.all())


def _absolute(c: Wording) -> Text:
    return c.call("np.abs", c.x())


def _set_at(c: Wording) -> Text:
    return c.help(plain_updates.with_values, c.x(), _place(c, 2), c.x(1))


def _float_power(c: Wording) -> Text:
    """Spell a power that NumPy computes in double precision."""
    power = c.call("np.float_power", *c.all())
    return power if c.line.dtype == np.float64 else c.call(f"{power.text}.astype", c.line.dtype)


_OTHERS: dict[object, Spelling] = {
    arithmetic.product: _product,
    np.float_power: _float_power,
    np.negative: _negative,
    np.absolute: _absolute,
    np.transpose: _transposed,
    np.swapaxes: lambda c: c.method("swapaxes", c.params["axis1"], c.params["axis2"]),
    np.reshape: _reshape,
    np.concatenate: _sequence("concatenate"),
    np.stack: _sequence("stack"),
    np.einsum: _einsum,
    shape.astype: lambda c: c.method("astype", c.params["dtype"]),
    activation.relu: _relu,
    activation.leaky_relu: _leaky_relu,
    activation.silu: _silu,
    activation.log_sigmoid: _log_sigmoid,
    activation.log_softmax: _log_softmax,
    special.erfc: _one_minus_erf,
    special.ndtr: _ndtr,
    special.logit: _logit,
    norms.euclidean_norm: _euclidean,
    normalisation.means_of_rows: _mean_of_rows,
    reduction.sum_to: _sum_to,
    fused_losses.nll: _nll,
    embedding.embedding: lambda c: Text(f"{c.x().within(ATOM)}[{c.x(1).text}]"),
    embedding.one_hot: _one_hot,
    indexing.getitem: _getitem,
    indexing.scatter: _scatter,
    indexing.set_at: _set_at,
    indexing.add_along_axis: _add_along_axis,
    convolution_kernels.convolution: _windowed(plain.convolution),
    convolution_kernels.biased_convolution: _windowed(plain.convolution),
    convolution_kernels.transposed_convolution: _windowed(plain.convolution_back, "space"),
    convolution_kernels.weights_of_convolution: _windowed(plain.convolution_weights_back),
    pooling.largest: _windowed(plain.max_pool),
    pooling.first_largest: _windowed(plain.max_pool_places),
    pooling.put_at: _windowed(plain.max_pool_back, "space"),
    pooling.taken_at: _windowed(plain.taken_at),
    pooling.averages: _windowed(plain.avg_pool, "inclusive"),
    pooling.spread: _windowed(plain.avg_pool_back, "space", "inclusive"),
    linalg.used: lambda c: c.x(),
    random.keep_mask: lambda c: c.help(
        plain_updates.keep_mask, c.x(), c.params.get("p", 0.5), Text(c.generator)
    ),
}

SPELLINGS: dict[Primitive, Spelling] = {
    primitive_of(key): spelling
    for key, spelling in (
        *((op, _numpy(op.key)) for op in REGISTRY.values() if isinstance(op, Primitive) and _home(op.key)),
        *((getattr(np, name), _method(name)) for name in _METHODS),
        *((key, _sign(*sign)) for key, sign in _SIGNS.items()),
        *((key, _helped(helper)) for key, helper in _HELPED.items()),
        *_OTHERS.items(),
    )
}
"""What is computed, as an expression."""


def is_view(line: Line) -> bool:
    """Tell whether a line shows elements of another array."""
    if line.op is indexing.getitem:
        return len(line.operands) == 1
    return line.op in (primitive_of(np.transpose), primitive_of(np.swapaxes)) or is_rows(line)
