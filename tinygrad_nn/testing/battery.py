"""What every op goes through. A check takes a call, raises `CheckFailed`, and returns False where it does not apply."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.autodiff import gradients
from tinygrad_nn.context import Watcher
from tinygrad_nn.errors import CheckFailed, TinygradError
from tinygrad_nn.node import Node
from tinygrad_nn.tensor import Tensor, apply, as_tensor
from tinygrad_nn.testing.calls import Call, agree, domains, is_kernel
from tinygrad_nn.testing.gradcheck import away_from_zero
from tinygrad_nn.testing.numerical import central_jacobian, complex_jacobian, flat_result
from tinygrad_nn.testing.verdict import judge, mismatch, snippet, spell

Array = np.ndarray[Any, Any]
Check = Callable[[Call], bool]
CHECKS: dict[str, Check] = {}
"""By name, cheap ones that catch most first."""
UNDEFINED = (np.empty_like,)
"""Functions whose values are not defined, only shape and dtype."""


def _check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def script(call: Call) -> list[str]:
    """Return the lines that run the battery on this very call."""
    operands = ", ".join(spell(x) for x in call.operands)
    at_kink = ", at_kink=True" if call.at_kink else ""
    return snippet(
        "from tinygrad_nn.testing.calls import Call",
        f"op = tn.primitive.REGISTRY[{call.op.name!r}]",
        f"operands = ({operands},)",
        f"call = Call(op, operands, {call.params!r}, seed={call.seed}, scale={call.scale!r}{at_kink})",
        "tn.testing.battery.run(call)",
    )


def _fail(call: Call, check: str, text: str) -> NoReturn:
    lines = [f"{call.op.name}: {check}: {text}", "  reproduce", *[f"    {line}" for line in script(call)]]
    raise CheckFailed("\n".join(lines))


def _close(a: Any, b: Any, rtol: float, scale: float | None = None) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype.kind != "f" or b.dtype.kind != "f":
        return np.array_equal(a, b)
    with np.errstate(all="ignore"):
        finite = np.abs(b[np.isfinite(b)])
        size = (float(finite.max()) if finite.size else 0.0) if scale is None else scale
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= rtol * size + 1e-13)
    return bool(np.all(same))


def _gradients(
    call: Call, xs: Sequence[Any] | None = None, cotangent: Any = None
) -> tuple[Tensor, list[Any]]:
    tensors = call.leaves(xs)
    y = call.on_tensors(tensors)
    found = gradients(y, tensors, cotangent=call.cotangent if cotangent is None else cotangent)
    return y, [g._data for g in found]


@_check
def value(call: Call) -> bool:
    """The result is the reference's, recorded or not; it requires grad when it should."""
    op = call.op
    y = call.on_tensors(call.leaves())
    with context.changed(recording=False):
        quiet = call.on_tensors(call.leaves())
    if not isinstance(y, Tensor) or y.requires_grad != call.differentiable or quiet.requires_grad:
        _fail(call, "value", f"requires_grad is {y.requires_grad}, without recording {quiet.requires_grad}")
    if op.key in UNDEFINED:
        return y.shape == call.result.shape and y.dtype == call.result.dtype
    if y.dtype != call.result.dtype or not all(
        np.array_equal(v._data, call.result, equal_nan=y.dtype.kind == "f") for v in (y, quiet)
    ):
        _fail(call, "value", f"on tensors {y._data!r}, on arrays {call.result!r}")
    reference = op.reference or (None if is_kernel(op) or op.adapt else op.key)
    if reference is not None:
        with np.errstate(all="ignore"):
            expected = np.asarray(reference(*call.operands, **call.params))
        if not _close(y._data, expected, 1e-12):
            _fail(call, "value", f"the op gives {y._data!r}, its reference {expected!r}")
    return True


@_check
def wrong_call(call: Call) -> bool:
    """A keyword that does not exist and a complex operand raise a typed error that names the op."""
    if not call.xs:
        return False
    tensors = call.leaves()
    wrong: list[tuple[Any, Any]] = [(call.with_operands(tensors), {**call.params, "no_such_keyword": 1})]
    if len(call.operands) > 1 and not call.op.variadic:
        wrong.append((call.operands[:-1] + (call.operands[-1] * 1j,), call.params))
    for operands, params in wrong:
        operands = (tensors[0], *operands[1:]) if operands[0] is call.operands[0] else operands
        try:
            with np.errstate(all="ignore"):
                apply(call.op, operands, params)
        except TinygradError as error:
            if params is not call.params and call.op.name not in str(error):
                _fail(call, "wrong call", f"the message does not name the op: {error}")
        else:
            _fail(
                call,
                "wrong call",
                f"{list(params)} with {[np.asarray(getattr(x, '_data', x)).dtype for x in operands]} is accepted",
            )
    return True


@_check
def dtype(call: Call) -> bool:
    """float32 in gives float32 out, before the engine's cast too; integers and scalars around change nothing."""
    if not call.xs or "dtype" in call.params:
        return False
    for kind in (np.float32, np.float16):
        xs = [x.astype(kind) for x in call.xs]
        try:
            with np.errstate(all="ignore"):
                y = call.on_tensors(call.leaves(xs))
        except TinygradError:
            if kind is np.float32:
                raise
            continue  # LAPACK has no half precision, and says so
        if call.result.dtype.kind == "f" and y.dtype != kind:
            _fail(call, "dtype", f"{np.dtype(kind)} operands give a result of dtype {y.dtype}")
        if call.differentiable and kind is np.float32:
            with np.errstate(all="ignore"):
                raw = call.plain_gradient(xs, call.cotangent.astype(kind))
            if any(np.asarray(r).dtype != kind for r in raw):
                _fail(
                    call,
                    "dtype",
                    f"rules return {[np.asarray(r).dtype.name for r in raw]} for float32 operands",
                )
    if call.op.promotes and call.result.dtype.kind == "f":
        _promotion(call)
    return True


def _promotion(call: Call) -> None:
    leaves = call.leaves([x.astype(np.float32) for x in call.xs])
    with np.errstate(all="ignore"):
        for other in range(1, len(leaves)):
            around = list(leaves)
            around[other] = np.ceil(np.abs(call.xs[other])).astype(np.int64)  # type: ignore[call-overload]
            y = call.on_tensors(around)
            if y.dtype != np.float32:
                _fail(call, "dtype", f"an integer array as operand {other} makes float32 into {y.dtype}")
            if call.op.samples is None:
                around[other] = np.float64(call.xs[other].flat[0] if call.xs[other].size else 1.0)  # type: ignore[call-overload]
                if call.on_tensors(around).dtype != np.float32 and leaves[0].ndim:
                    _fail(call, "dtype", f"a NumPy scalar as operand {other} widens float32")


@_check
def jacobian(call: Call) -> bool:
    """The rules give the Jacobian that the numerical derivatives give; at a kink, a slope between those beside it."""
    if not call.differentiable:
        return False
    tensors = call.leaves()
    y = call.on_tensors(tensors)
    rows = [call.pull(y, tensors, e.reshape(y.shape), retain_graph=True) for e in np.eye(y.size)]
    found = np.array(rows).reshape(y.size, sum(x.size for x in call.xs))
    if call.op.zero_gradient:
        if found.any():
            _fail(call, "jacobian", "the gradient of this op is declared to be zero, and is not")
        return True
    verdict = judge(found, call.exact, None if call.agrees else call.estimate)
    call.verdict = verdict
    if verdict.wrong:
        _mismatch(call, "first order", verdict, found)
    _convention(call, tensors)
    return True


def _mismatch(call: Call, order: str, verdict: Any, found: Array) -> NoReturn:
    row, column = verdict.place if verdict.place else (0, 0)
    for k, x in zip(call.wanted, call.xs, strict=True):
        if column < x.size:
            where = [
                f"flat entry {row} of shape {call.result.shape}",
                f"operand {k}{list(np.unravel_index(column, x.shape))}",
            ]
            where[1] = where[1].replace("np.int64(", "").replace(")", "")
            break
        column -= x.size
    raise mismatch(f"{call.op.name}, {order}", verdict, where, script(call))


def _convention(call: Call, tensors: Sequence[Tensor]) -> None:
    """At the kinks that the record maps to a slope, the rule gives this slope."""
    if not call.at_kink or not isinstance(call.op.kinks, dict) or len(call.xs) != 1:
        return
    found = call.pull(call.on_tensors(tensors), tensors, np.ones(call.result.shape)).reshape(call.xs[0].shape)
    for kink, slope in call.op.kinks.items():
        if np.any(found[call.xs[0] == kink] != slope):
            _fail(
                call,
                "kink",
                f"the slope at {kink} is declared to be {slope}, got {found[call.xs[0] == kink]}",
            )


@_check
def cotangents(call: Call) -> bool:
    """The gradient is linear in the cotangent at every size, and zero for zero."""
    if not call.differentiable or not call.result.size:
        return False
    tensors = call.leaves()
    y = call.on_tensors(tensors)
    other = away_from_zero(call.rng, y.shape)
    first = call.pull(y, tensors, call.cotangent, retain_graph=True)
    second = call.pull(y, tensors, other, retain_graph=True)
    both = call.pull(y, tensors, 3.0 * call.cotangent - other, retain_graph=True)
    size = max(np.abs(first).max(initial=0), np.abs(second).max(initial=0))
    if not _close(both, 3.0 * first - second, 1e-11, float(size)):
        _fail(call, "cotangents", "the gradient is not linear in the cotangent")
    zero = call.pull(y, tensors, np.zeros(y.shape))
    if zero.any():
        _fail(call, "cotangents", f"a zero cotangent gives the gradient {zero}")
    return True


@_check
def untouched(call: Call) -> bool:
    """Operands, saved arrays and the cotangent stay as they are, and may be read-only."""
    if not call.differentiable:
        return False
    for writeable in (True, False):
        tensors = call.leaves([x.copy() for x in call.xs])
        y = call.on_tensors(tensors)
        g = call.cotangent.copy()
        arrays = [t._data for t in tensors] + [g] + [a for a in y._node.saved if isinstance(a, np.ndarray)]  # type: ignore[union-attr]
        before = [a.copy() for a in arrays]
        for a in arrays:
            a.flags.writeable = a.flags.writeable and writeable
        try:
            gradients(y, tensors, cotangent=g, retain_graph=True)
        except ValueError as error:
            _fail(call, "untouched", f"read-only arrays are refused: {error}")
        for a, b in zip(arrays, before, strict=True):
            if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                _fail(call, "untouched", "going back has changed an operand, the cotangent or a saved array")
    return True


@_check
def ownership(call: Call) -> bool:
    """`.grad` has the shape and dtype of its leaf, owns its memory and shares it with nothing; twice back is twice."""
    if not call.differentiable:
        return False
    tensors = call.leaves([x.copy() for x in call.xs])
    y = call.on_tensors(tensors)
    saved = [a for a in y._node.saved if isinstance(a, np.ndarray)]  # type: ignore[union-attr]
    g = call.cotangent.copy()
    y.backward(g, retain_graph=True)
    once = [t.grad for t in tensors]
    for t, grad in zip(tensors, once, strict=True):
        if type(grad) is not np.ndarray or grad.shape != t.shape or grad.dtype != t.dtype:
            _fail(
                call,
                "ownership",
                f".grad is {type(grad).__name__} {getattr(grad, 'shape', '')}, the leaf {t.shape}",
            )
        others = [*[o for o in once if o is not grad], g, y._data, *saved, *[o._data for o in tensors]]
        if grad.base is not None or any(
            np.shares_memory(grad, o) for o in others if o is not None and o.size
        ):
            _fail(call, "ownership", ".grad shares its memory")
    kept = [grad.copy() for grad in once if grad is not None]
    y.backward(g)
    again = call.leaves([x.copy() for x in call.xs])
    rebuilt = call.on_tensors(again)
    rebuilt.backward(g)
    for t, first, new in zip(tensors, kept, again, strict=True):
        if not np.array_equal(t.grad, first + first, equal_nan=True):  # type: ignore[arg-type]
            _fail(call, "ownership", "two backward passes do not give twice the gradient")
        if not np.array_equal(new.grad, first, equal_nan=True):  # type: ignore[arg-type]
            _fail(call, "ownership", "the same graph built again gives another gradient")
    return True


class _Calls(Watcher):
    def __init__(self) -> None:
        self.indices: set[int] = set()

    def on_gradient(self, node: Any, index: int, gradient: Any) -> None:
        self.indices.add(index)


@_check
def only_where_asked(call: Call) -> bool:
    """A single operand that requires grad gets the same gradient, and no other rule runs."""
    if not call.differentiable or len(call.wanted) < 2:
        return False
    _, together = _gradients(call)
    for k, index in enumerate(call.wanted):
        around: list[Any] = list(call.xs)
        around[k] = alone = as_tensor(call.xs[k], requires_grad=True)
        seen = _Calls()
        with context.watching(seen):
            y = call.on_tensors(around)
            g = gradients(y, alone, cotangent=call.cotangent)
        if seen.indices != {index}:
            _fail(
                call, "only where asked", f"asked for operand {index}, rules ran for {sorted(seen.indices)}"
            )
        if not np.array_equal(g._data, together[k], equal_nan=True):
            _fail(
                call, "only where asked", f"operand {index} alone gets another gradient than with the others"
            )
    return True


@_check
def shared_operand(call: Call) -> bool:
    """f(x, x) has the sum of both gradients."""
    pairs = [(i, j) for j in range(len(call.xs)) for i in range(j) if call.xs[i].shape == call.xs[j].shape]
    if not call.differentiable or not pairs or call.op.signature:
        return False
    i, j = pairs[0]
    (low_i, high_i), (low_j, high_j) = [
        domains(call.op, 9)[k] if call.op.samples is None and len(call.xs) < 4 else (-9, 9) for k in (i, j)
    ]
    x = np.clip(call.xs[i], max(low_i, low_j), min(high_i, high_j))
    xs = list(call.xs)
    xs[i] = xs[j] = x
    _, apart = _gradients(call, [a.copy() for a in xs])
    leaf = as_tensor(x, requires_grad=True)
    around: list[Any] = list(xs)
    around[i] = around[j] = leaf
    y = call.on_tensors(around)
    together = gradients(y, leaf, cotangent=call.cotangent)._data
    if not _close(
        together,
        apart[i] + apart[j],
        1e-12,
        float(max(np.abs(apart[i]).max(initial=0), np.abs(apart[j]).max(initial=0))),
    ):
        _fail(call, "shared operand", f"f(x, x) has gradient {together!r}, expected {apart[i] + apart[j]!r}")
    return True


def _layouts(x: Array) -> Iterator[tuple[str, Array]]:
    yield "Fortran order", np.array(x, order="F")
    flipped = tuple(slice(None, None, -1) for _ in x.shape)
    yield "negative strides", x[flipped].copy()[flipped] if x.ndim else x
    wide = np.zeros([2 * n for n in x.shape])
    wide[tuple(slice(None, None, 2) for _ in x.shape)] = x
    yield "strided", wide[tuple(slice(None, None, 2) for _ in x.shape)]
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "byte-swapped", x.astype(x.dtype.newbyteorder())
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    misaligned = buffer[1:].view(x.dtype).reshape(x.shape)
    misaligned[...] = x
    yield "misaligned", misaligned


@_check
def layouts(call: Call) -> bool:
    """Memory order, strides, alignment, byte order and read-only memory change neither value nor gradient."""
    if not call.xs:
        return False
    g = np.array(call.cotangent, order="F")
    if call.op.key in UNDEFINED:
        return False
    variants = zip(*[_layouts(x) for x in call.xs], strict=True)
    expected = _gradients(call)[1] if call.differentiable else []
    for named in variants:
        xs = [x for _, x in named]
        y, found = _gradients(call, xs, g) if call.differentiable else (call.on_tensors(call.leaves(xs)), [])
        if not _close(y._data, call.result, 1e-12) or not all(
            map(lambda a, b: _close(a, b, 1e-11), found, expected)
        ):
            _fail(
                call,
                "layouts",
                f"{named[0][0]}: {y._data!r} and {found!r}, expected {call.result!r} and {expected!r}",
            )
    _stretched(call)
    return True


def _stretched(call: Call) -> None:
    """Operands that repeat one row without memory for it give what real copies of it give."""
    views = [np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x for x in call.xs]
    with np.errstate(all="ignore"):
        expected = compute_or_none(call, [v.copy() for v in views])
    if expected is None or call.op.name in ("inv", "solve", "det"):
        return
    if not call.differentiable:
        return
    y, found = _gradients(call, views)
    _, real = _gradients(call, [v.copy() for v in views])
    if not _close(y._data, expected, 1e-12) or not all(map(lambda a, b: _close(a, b, 1e-11), found, real)):
        _fail(call, "layouts", "a broadcast view gives another value or gradient than its copy")


def compute_or_none(call: Call, xs: Sequence[Array]) -> Array | None:
    """Return the result on these arrays, None where the op has none (a singular matrix)."""
    try:
        return call.plain(xs)
    except (ValueError, np.linalg.LinAlgError):
        return None


@_check
def second_order(call: Call) -> bool:
    """The gradient of the gradient is right, symmetric, and zero for linear ops."""
    if not call.differentiable or call.at_kink or not call.result.size or not sum(x.size for x in call.xs):
        return False
    tensors = call.leaves()
    seed = as_tensor(call.cotangent, requires_grad=True)
    y = call.on_tensors(tensors)
    found = gradients(y, tensors, cotangent=seed, create_graph=True)
    first = np.concatenate([g.reshape(-1) for g in found])  # type: ignore[call-overload]
    if not _close(first._data, call.gradient_at(call.xs), 1e-12):
        _fail(call, "second order", "the gradient differs when it is recorded itself")
    w = away_from_zero(call.rng, first.shape)
    if first.requires_grad:
        rows = [call.pull(first, tensors, e, retain_graph=True) for e in np.eye(first.size)]
        hessian = np.array(rows)
        along_w = flat_result(gradients(first, seed, cotangent=w))
    else:
        hessian, along_w = np.zeros((first.size, first.size)), np.zeros(y.size)
    if call.op.zero_gradient or call.op.linear:
        if hessian.any():
            _fail(call, "second order", "the op is declared linear, and its gradient depends on the operands")
    else:
        _hessian(call, hessian)
    if not call.op.zero_gradient and not _close(
        along_w, call.jacobian @ w, 1e-9 if call.exact is not None else 1e-5
    ):
        _fail(
            call,
            "second order",
            f"the derivative by the cotangent is {along_w!r}, expected {call.jacobian @ w!r}",
        )
    return True


def _hessian(call: Call, hessian: Array) -> None:
    exact = None if call.exact is None else _exact_hessian(call)
    certain = exact is not None and agree(call.gradient_at, call.xs, exact, call.rng)
    estimate = None if certain else central_jacobian(call.gradient_at, call.xs)
    verdict = judge(hessian, exact, estimate, atol=1e-12 * call.scale)
    if verdict.wrong:
        _mismatch(call, "second order", verdict, hessian)
    if exact is not None and not _close(hessian, hessian.T, 1e-9):
        _fail(call, "second order", "the matrix of second derivatives is not symmetric")


def _exact_hessian(call: Call) -> Array | None:
    try:
        return complex_jacobian(call.gradient_at, call.xs)
    except TypeError:  # some function in a rule has no complex version
        return None


@_check
def out_argument(call: Call) -> bool:
    """Writing into `out=` gives what allocating gives."""
    function = call.op.function
    if not isinstance(function, np.ufunc):
        try:
            if "out" not in inspect.signature(function).parameters:
                return False
        except (TypeError, ValueError):
            return False
    if call.op.residuals:
        return False
    out = np.full(call.result.shape, 7, call.result.dtype)
    with np.errstate(all="ignore"):
        returned = function(*call.operands, out=out, **call.params)
    if returned is not out or not np.array_equal(out, call.result, equal_nan=out.dtype.kind == "f"):
        _fail(call, "out", f"out= gives {out!r}, allocating gives {call.result!r}")
    return True


@_check
def single_precision(call: Call) -> bool:
    """float32 value and gradient are those of float64, to rounding and the condition of the function."""
    if not call.differentiable or "dtype" in call.params:
        return False
    xs = [x.astype(np.float32) for x in call.xs]
    wide = [x.astype(np.float64) for x in xs]
    g32 = call.cotangent.astype(np.float32)
    y, found = _gradients(call, xs, g32)
    y64, expected = _gradients(call, wide, g32.astype(np.float64))
    nudge = [x * (1 + 1e-6 * call.rng.choice([-1.0, 1.0], x.shape)) for x in wide]
    with np.errstate(all="ignore"):
        y_near, near = _gradients(call, nudge, g32.astype(np.float64))
    eps = 200 * float(np.finfo(np.float32).eps)
    for a, b, c in zip([y._data, *found], [y64._data, *expected], [y_near._data, *near], strict=True):
        condition = np.abs(b).max(initial=0) + np.abs(c - b).max(initial=0) * 1e6
        if not np.all(np.abs(a - b) <= eps * condition + 1e-30):
            _fail(call, "single precision", f"float32 gives {a!r}, float64 gives {b!r}")
    return True


def run(call: Call) -> list[str]:
    """Run every check on a call; return the names of those that applied."""
    return [name for name, check in CHECKS.items() if check(call)]
