"""Random compositions of all ops: values as NumPy computes them, derivatives as they are found without rules."""

from functools import partial

import numpy as np

import tinygrad_nn as tn
from tests.support.fuzz.cases import chance, pick
from tests.support.fuzz.programs import VOCABULARY, draw, of_kind, plain, shaped, total
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import apply
from tinygrad_nn.primitives import REGISTRY, Primitive
from tinygrad_nn.testing.battery.calls import draw_call, renewed, symmetric_part, with_random
from tinygrad_nn.testing.battery.composites import draw_arguments
from tinygrad_nn.testing.numerical import COMPLEX_STEP, along, away_from_zero, central_jacobian, takes_complex
from tinygrad_nn.testing.tape import Tape, compute

SHAPES = ((), (3,), (2, 3), (3, 3), (1, 3), (3, 1), (2, 1, 3), (4, 3), (0,), (0, 3))


def _registered(record):
    """Return an entry for a call of an op from its record, with earlier values added to its operands."""

    def entry(rng, values):
        if record.made_of_others:
            args, params = draw_arguments(record, with_random(rng))
            inside = {id(x) for x in trees.leaves(args) if getattr(x, "dtype", np.dtype(int)).kind == "f"}
        else:
            # At a kink there is no derivative to compare with.
            while (call := draw_call(record, with_random(rng))).at_kink:
                pass
            args, params = call.operands, call.params
            inside = {id(x) for k, x in enumerate(args) if k in call.wanted}
        places = of_kind(values, "f")
        if not places:
            return None
        operands = [pick(rng, places) for x in trees.leaves(args) if id(x) in inside]
        if not operands:
            # Without a rule there is nothing to differentiate, and the result is a constant for what follows.
            return partial(_constant, record, args, params), (places[0],)
        # So little that the operands stay in the domain, and away from kinks and ties.
        smooth = isinstance(record, Primitive) and record.analytic and not record.kinks
        strength = 0.05 if smooth else 0.002

        def function(*earlier):
            left = iter(earlier)

            def with_earlier(x):
                if id(x) not in inside:
                    return x
                change = np.tanh(shaped(next(left), np.shape(x))) * strength
                return x + (symmetric_part(change) if record.symmetric else change)

            return _joined(_call(record, trees.mapped(with_earlier, args), renewed(params)))

        return function, operands

    return entry


def _call(record, args, params):
    if record.made_of_others:
        return (record if isinstance(record, Primitive) else record.key)(*args, **params)
    if any(isinstance(x, tn.Tensor) for x in args):
        return apply(record, args, params)
    return compute(record, args, params)[0]


def _constant(record, args, params, earlier):
    """Return what a call gives, of tensors where earlier values are tensors."""
    if isinstance(earlier, tn.Tensor):
        args = trees.mapped(lambda x: tn.as_tensor(x) if hasattr(x, "dtype") else x, args)
    result = _joined(_call(record, args, renewed(params)))
    # What is compared is compared in double precision.
    return result.astype(np.float64) if result.dtype.kind == "f" else result


def _joined(results):
    """Return several results as one."""
    parts = [x for x in trees.leaves(results) if hasattr(x, "dtype")]
    return parts[0] if len(parts) == 1 else np.concatenate([x.reshape(-1) for x in parts])


LEFT_OUT = {
    "allclose": "is a truth, which a composition cannot use",
    "lstsq": "has a rank among its results",
    "empty_like": "has no values",
    **dict.fromkeys(
        (record.name for record in REGISTRY.values() if getattr(record, "writes", ())),
        "writes into its operands",
    ),
}
REGISTERED = {
    f"tn.{record.name}": _registered(record)
    for record in dict.fromkeys(REGISTRY.values())
    if record.name not in LEFT_OUT
}
ALL = VOCABULARY | REGISTERED


def case(rng):
    """Check one composition; return how many ops it has."""
    xs = [np.asarray(rng.uniform(-2, 2, pick(rng, SHAPES))) for _ in range(rng.integers(1, 4))]
    shape = pick(rng, SHAPES)
    others = [tn.tensor(rng.integers(0, 6, pick(rng, SHAPES))), tn.tensor(rng.random(shape) < 0.5)]
    dtypes = [np.float64] * len(xs)
    if chance(rng, 0.2):
        dtypes = [pick(rng, (np.float32, np.float32, np.float64)) for _ in xs]
        xs = [x.astype(dtype).astype(np.float64) for x, dtype in zip(xs, dtypes, strict=True)]
    with np.errstate(all="ignore"):
        program = draw(rng, [*_leaves(xs), *others], rng.integers(1, 10), ALL)
        vs = [away_from_zero(rng, x.shape) for x in xs]
        problem, tries = "", 0
        # Near a kink or a tie numerical derivatives are wrong; no three points lie near one.
        while tries < 3 and (not tries or problem):
            moved = [x + 1e-2 * tries * rng.normal(size=x.shape) for x in xs]
            problem = _problem(program, moved, vs, others, second=chance(rng, 0.15))
            tries += 1
        if not problem and dtypes.count(np.float64) < len(xs):
            problem = _problem_in_single(program, xs, dtypes, others)
    assert not problem, f"{problem}\nxs = {xs}\nothers = {others}\n{program}"
    return {"ops": len(program.steps)}


def _leaves(xs):
    return [tn.tensor(x, requires_grad=True) for x in xs]


def _problem(program, xs, vs, others, second):
    """Say what is wrong with value or derivatives, if anything is."""
    leaves = _leaves(xs)
    values = program.run([*leaves, *others])
    expected = program.run([*xs, *map(plain, others)], plain)
    for k, (value, array) in enumerate(zip(values, expected, strict=True)):
        if value.shape != array.shape or not np.allclose(
            plain(value), array, rtol=1e-9, atol=1e-9, equal_nan=True
        ):
            return f"value {k} is {value!r}, NumPy gives {array!r}"
    y = total(values)
    if not np.isfinite(y.item()):
        return ""
    tape = Tape(y, leaves)
    y.backward()
    gs = [np.zeros(x.shape) if leaf.grad is None else leaf.grad for x, leaf in zip(xs, leaves, strict=True)]
    rule = sum(float(np.sum(g * v)) for g, v in zip(gs, vs, strict=True))
    scale = sum(float(np.sum(np.abs(g * v))) for g, v in zip(gs, vs, strict=True))
    if tape.analytic:
        stepped = [x + COMPLEX_STEP * 1j * v for x, v in zip(xs, vs, strict=True)]
        numerical, allowed = float(np.imag(tape.run(stepped))) / COMPLEX_STEP, 1e-8 * scale + 1e-11
    else:
        estimate = central_jacobian(along(tape.run, xs, vs), [np.zeros(())])
        numerical = float(estimate.value.item())
        allowed = 20 * estimate.error.item() + 1e-6 * scale + 1e-9
    if not abs(rule - numerical) <= allowed:
        return f"the derivative is {rule!r}, without rules {numerical!r}, allowed {allowed:.2g}"
    return _second(program, xs, vs, others, tape) if second and tape.analytic else ""


def _second(program, xs, vs, others, tape):
    """Compare forward over reverse with the complex step of the gradient from the rules."""

    def gradient(*leaves):
        gs = tn.gradients(total(program.run([*leaves, *others])), list(leaves), create_graph=True)
        return np.concatenate([g.reshape(-1) for g in gs])

    def from_rules(zs):
        tape.run(zs)
        return np.concatenate([g.ravel() for g in tape.pull(np.ones(()))])

    derivative = tn.jvp(gradient, tuple(xs), tuple(vs))[1].data
    if not takes_complex(from_rules, xs):
        return ""
    stepped = [x + COMPLEX_STEP * 1j * v for x, v in zip(xs, vs, strict=True)]
    numerical = np.imag(from_rules(stepped)) / COMPLEX_STEP
    size = np.abs(numerical).max(initial=0)
    if not np.allclose(derivative, numerical, rtol=0, atol=1e-6 * size + 1e-9, equal_nan=True):
        return f"forward over reverse gives {derivative}, the complex step {numerical}"
    return ""


def _problem_in_single(program, xs, dtypes, others):
    """Compare values and gradients of single precision with double precision, as far as that is sure."""

    def gradients(arrays):
        leaves = _leaves(arrays)
        y = total(program.run([*leaves, *others]))
        y.backward()
        return [leaf.grad for leaf in leaves]

    exact = gradients(xs)
    nearby = [gradients([x * (1 + sign * 1e-5) for x in xs]) for sign in (1, -1)]
    got = gradients([x.astype(dtype) for x, dtype in zip(xs, dtypes, strict=True)])
    for k, (g, e, *near) in enumerate(zip(got, exact, *nearby, strict=True)):
        if g is None:
            continue
        if g.dtype != dtypes[k]:
            return f"gradient {k} of {dtypes[k].__name__} has dtype {g.dtype}"
        unsure = sum(np.abs(n - e).max(initial=0) for n in near)
        size = np.abs(e).max(initial=0)
        if np.isfinite(e).all() and not np.allclose(g, e, rtol=0, atol=1e-3 * size + 3 * unsure + 1e-4):
            return f"gradient {k} is {g!r} in single precision, {e!r} in double"
    return ""
