"""The checks of duties that no rule has to know of: dtypes, memory, layouts, who asked for what."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.tensor import Tensor, apply, as_tensor
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import TinygradError
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.battery.calls import UNDEFINED, OpCall, domains, saved_arrays
from tinygrad_nn.testing.battery.failing import fail
from tinygrad_nn.testing.numerical import largest
from tinygrad_nn.testing.verdict import close, same


def dtype(call: OpCall) -> bool:
    """float32 in gives float32 out, before the engine's cast too, also with integers and scalars around."""
    if not call.xs or "dtype" in call.params:
        return False
    for kind in (np.float32, np.float16):
        xs = [x.astype(kind) for x in call.xs]
        try:
            y = call.on_tensors(call.leaves(xs))
        except TinygradError:
            if kind is np.float32:
                raise
            continue  # LAPACK has no half precision, and says so
        if call.result.dtype.kind == "f" and y.dtype != kind:
            fail(call, "dtype", f"{np.dtype(kind)} operands give a result of dtype {y.dtype}")
        if call.differentiable and kind is np.float32:
            with np.errstate(all="ignore"):
                dtypes = [np.asarray(r).dtype for r in call.plain_gradient(xs, call.cotangent.astype(kind))]
            if any(narrow != kind for narrow in dtypes):
                fail(call, "dtype", f"the rules return {', '.join(map(str, dtypes))} for float32 operands")
    if call.op.promotes and call.result.dtype.kind == "f":
        _promotion(call)
    return True


def _promotion(call: OpCall) -> None:
    leaves = call.leaves([x.astype(np.float32) for x in call.xs])
    for other in range(1, len(leaves)):
        around: list[Array | Tensor] = [*leaves]
        around[other] = np.ceil(np.abs(call.xs[other])).astype(np.int64)
        y = call.on_tensors(around)
        if y.dtype != np.float32:
            fail(call, "dtype", f"an integer array as operand {other} makes float32 into {y.dtype}")
        if call.op.samples is None and leaves[0].ndim and call.xs[other].size:
            around[other] = call.xs[other].flat[0]
            if call.on_tensors(around).dtype != np.float32:
                fail(call, "dtype", f"a NumPy scalar as operand {other} widens float32")


def untouched(call: OpCall) -> bool:
    """Operands, saved arrays and the cotangent stay as they are, and may be read-only."""
    if not call.differentiable:
        return False
    for writeable in (True, False):
        tensors, y = call.recorded([x.copy() for x in call.xs])
        for k, tensor, x in zip(call.wanted, tensors, call.xs, strict=True):
            if not same(tensor._data, x):
                fail(
                    call,
                    "untouched",
                    f"the function writes into operand {k}; x = x * 2 makes an array, x *= 2 does not",
                )
        g = call.cotangent.copy()
        arrays = [*[t._data for t in tensors], g, *saved_arrays(y)]
        before = [a.copy() for a in arrays]
        for a in arrays:
            a.flags.writeable = a.flags.writeable and writeable
        try:
            gradients(y, tensors, cotangent=g, retain_graph=True)
        except ValueError as error:
            fail(call, "untouched", f"read-only arrays are refused: {error}")
        if not all(map(same, arrays, before)):
            fail(call, "untouched", "going back has changed an operand, the cotangent or a saved array")
    return True


def ownership(call: OpCall) -> bool:
    """`.grad` fits its leaf and owns its memory; two passes give twice; the graph can be built again."""
    if not call.differentiable:
        return False
    tensors, y = call.recorded([x.copy() for x in call.xs])
    g = call.cotangent.copy()
    others = [g, y._data, *saved_arrays(y), *[t._data for t in tensors]]
    y.backward(g, retain_graph=True)
    first = []
    for t in tensors:
        grad = t.grad
        if type(grad) is not np.ndarray or grad.shape != t.shape or grad.dtype != t.dtype:
            fail(call, "ownership", f".grad is {grad!r}, its leaf has shape {t.shape} and dtype {t.dtype}")
        if grad.base is not None or any(np.shares_memory(grad, o) for o in others if o.size):
            fail(call, "ownership", ".grad shares its memory")
        others.append(grad)
        first.append(grad.copy())
    y.backward(g)
    again, y = call.recorded([x.copy() for x in call.xs])
    y.backward(g)
    for t, grad, new in zip(tensors, first, again, strict=True):
        if not same(t.grad, grad + grad):
            fail(call, "ownership", "two backward passes do not give twice the gradient")
        if not same(new.grad, grad):
            fail(call, "ownership", "the same graph built again gives another gradient")
    return True


class _Rules(Watcher):
    """Notes for which operands rules have run."""

    def __init__(self) -> None:
        self.indices: set[int] = set()

    def on_gradient(self, node: Node, index: int, gradient: Array) -> None:
        self.indices.add(index)


def only_where_asked(call: OpCall) -> bool:
    """A single operand that requires grad gets the same gradient, and no other rule runs."""
    if not call.differentiable or len(call.wanted) < 2:
        return False
    _, *together = call.outcome()
    for k, index in enumerate(call.wanted):
        around: list[Array | Tensor] = [*call.xs]
        around[k] = alone = as_tensor(call.xs[k], requires_grad=True)
        rules = _Rules()
        with context.watching(rules):
            g = gradients(call.on_tensors(around), alone, cotangent=call.cotangent)
        if rules.indices != {index}:
            fail(call, "only where asked", f"operand {index} was asked for, rules of {rules.indices} ran")
        if not same(g._data, together[k]):
            fail(call, "only where asked", f"operand {index} alone gets another gradient than in company")
    return True


def interleaved(call: OpCall) -> bool:
    """Another call of the same op between forward and backward changes nothing."""
    if not call.differentiable or call.at_kink or call.op.zero_gradient:
        return False
    tensors, y = call.recorded()
    operands: list[Array | Tensor] = [_reversed(x) for x in call.operands]
    for k in call.wanted:
        operands[k] = as_tensor(operands[k], requires_grad=True)
    with np.errstate(all="ignore"):
        other = apply(call.op, tuple(operands), call.params)
        other.backward(np.ones(other.shape))
    expected = call.cotangent.ravel() @ call.jacobian
    if not close(call.pull(y, tensors, call.cotangent), expected, 1e-8 if call.exact is not None else 1e-5):
        fail(call, "interleaved", "a call in between has changed the gradient")
    return True


def _reversed(x: Array) -> Array:
    if getattr(x, "dtype", None) == np.bool_ and np.ndim(x) == 0:
        return np.asarray(~x)
    return x.ravel()[::-1].reshape(x.shape) if isinstance(x, np.ndarray) and x.dtype.kind in "fb" else x


def shared_operand(call: OpCall) -> bool:
    """f(x, x) has the sum of both gradients."""
    pairs = [(i, j) for j in range(len(call.xs)) for i in range(j) if call.xs[i].shape == call.xs[j].shape]
    if not call.differentiable or not pairs or not call.op.broadcasts:
        return False
    i, j = pairs[0]
    x = call.xs[i]
    if call.op.samples is None:
        (low_i, high_i), (low_j, high_j) = (domains(call.op, len(call.xs))[k] for k in (i, j))
        x = np.clip(x, max(low_i, low_j), min(high_i, high_j))
    xs = [x.copy() if k in (i, j) else other for k, other in enumerate(call.xs)]
    _, *apart = call.outcome(xs)
    shared: list[Array | Tensor] = [*xs]
    shared[i] = shared[j] = leaf = as_tensor(x, requires_grad=True)
    together = gradients(call.on_tensors(shared), leaf, cotangent=call.cotangent)._data
    expected = apart[i] + apart[j]
    if not close(together, expected, 1e-12, largest(apart[i], apart[j])):
        fail(call, "shared operand", f"f(x, x) has gradient {together!r}, expected {expected!r}")
    return True


def memory_layouts(x: Array) -> Iterator[tuple[str, Array]]:
    """Yield arrays equal to `x`, each in another kind of memory, with its name."""
    yield "Fortran order", np.array(x, order="F")
    flipped = tuple(slice(None, None, -1) for _ in x.shape)
    yield "negative strides", np.array(x[flipped])[flipped] if x.ndim else x
    every_other = tuple(slice(None, None, 2) for _ in x.shape)
    wide = np.zeros([2 * n for n in x.shape])
    wide[every_other] = x
    yield "strided", wide[every_other] if x.ndim else x
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "byte-swapped", x.astype(x.dtype.newbyteorder())
    misaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    misaligned[...] = x
    yield "misaligned", misaligned


def layouts(call: OpCall) -> bool:
    """Memory order, strides, alignment, byte order and read-only memory change neither value nor gradient."""
    if not call.xs or call.op.key in UNDEFINED:
        return False
    g = np.array(call.cotangent, order="F")
    expected = call.outcome(cotangent=g)
    variants = list(zip(*map(memory_layouts, call.xs), strict=True))
    # Calls are many: each looks at every other one.
    for variant in variants[call.seed % 2 :: 2]:
        outcome = call.outcome([x for _, x in variant], g)
        if not all(close(a, b, 1e-11) for a, b in zip(outcome, expected, strict=True)):
            fail(call, "layouts", f"{variant[0][0]}: value and gradients {outcome!r}, expected {expected!r}")
    repeated = [np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x for x in call.xs]
    try:
        expected = call.outcome([x.copy() for x in repeated], g)
    except (TinygradError, np.linalg.LinAlgError):
        return True  # equal rows make a singular matrix
    if not all(close(a, b, 1e-9) for a, b in zip(call.outcome(repeated, g), expected, strict=True)):
        fail(call, "layouts", "a broadcast view gives another value or gradient than its copy")
    return True


def out_argument(call: OpCall) -> bool:
    """Writing into `out=` gives what allocating gives."""
    function = call.op.function
    if call.op.residuals or not _takes_out(function):
        return False
    out = np.full(call.result.shape, 7, call.result.dtype)
    with np.errstate(all="ignore"):
        returned = function(*call.operands, out=out, **call.params)
    if returned is not out or not same(out, call.result):
        fail(call, "out", f"out= gives {out!r}, allocating gives {call.result!r}")
    return True


def _takes_out(function: Callable[..., object]) -> bool:
    if isinstance(function, np.ufunc):
        return True
    try:
        return "out" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def wrong_call(call: OpCall) -> bool:
    """A keyword that does not exist and a complex operand raise a typed error."""
    if not call.xs:
        return False
    tensors = call.leaves()
    wrong = [(call.with_operands(tensors), {**call.params, "no_such_keyword": 1})]
    if len(tensors) > 1:
        wrong.append((call.with_operands([*tensors[:-1], call.xs[-1] * 1j]), call.params))
    for operands, params in wrong:
        try:
            with np.errstate(all="ignore"):
                apply(call.op, operands, params)
        except TinygradError as error:
            if params is not call.params and call.op.name not in str(error):
                fail(call, "wrong call", f"the message does not name the op: {error}")
        else:
            what = "a complex operand" if params is call.params else "the keyword no_such_keyword"
            fail(call, "wrong call", f"{what} is accepted")
    return True
