"""PyTorch's own samples of its ops (OpInfo): values, gradients and second derivatives here and there, in float64.

A share of the reference inputs runs by default; TINYGRAD_NN_OPINFO is a seed for another share, or "all".
"""

import os
import random
import re
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.oracle.compare import results
from tests.oracle.opinfo_map import DECOMPOSITIONS, DIFFERENCES, IN_FLOAT64, OPS, REFUSED, RELATIVE, NotHere
from tinygrad_nn.engine import trees

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
pytest.importorskip("expecttest", reason="PyTorch's samples need it: pip install 'tinygrad_nn[oracle]'")
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # what the oracle warns of is its own affair

SHARE = os.environ.get("TINYGRAD_NN_OPINFO", "0")
REFERENCES = 12
"""So many reference inputs of an op, unless all run."""

SMALL = 100_000
"""Second derivatives are taken where so many numbers go in and come out at most."""

ABSOLUTE = 1e-12
INFOS = {f"{op.name}/{op.variant_test_name}".rstrip("/"): op for op in op_db}


# Samples


def _drawn(kind, op):
    """Return samples whose floating arguments require grad, as far as the op lets them."""
    torch.manual_seed(0)
    draw = getattr(op, kind)
    if not op.supports_autograd:
        return list(draw("cpu", torch.float64, requires_grad=False))
    try:
        return list(draw("cpu", torch.float64, requires_grad=True))
    except ValueError:  # some samples have integers among them, which cannot
        torch.manual_seed(0)
        samples = list(draw("cpu", torch.float64, requires_grad=False))
        for part in trees.leaves([[s.input, s.args, s.kwargs] for s in samples]):
            if isinstance(part, torch.Tensor) and part.dtype.is_floating_point:
                part.requires_grad_()
        return samples


def samples_of(name):
    """Yield (label, arguments, keywords): all samples, and a share of the reference inputs."""
    op = INFOS[name]
    kinds = {kind: list(enumerate(_drawn(kind, op))) for kind in ("sample_inputs", "reference_inputs")}
    references = kinds["reference_inputs"]
    if SHARE != "all" and len(references) > REFERENCES:
        kinds["reference_inputs"] = random.Random(f"{SHARE} {name}").sample(references, REFERENCES)
    for kind, samples in kinds.items():
        for k, sample in samples:
            call = [sample.input, *sample.args], dict(sample.kwargs)
            yield f"{kind} {k}", *(_mapped(_widened, call) if name in IN_FLOAT64 else call)


def _widened(x):
    return x.detach().double().requires_grad_(x.requires_grad) if _variable(x) else x


# The two sides


def _variable(x):
    return isinstance(x, torch.Tensor) and x.dtype.is_floating_point and x.requires_grad


def _mapped(function, x):
    """Map nested arguments; a shape is a tuple."""
    return trees.mapped(
        lambda part: trees.mapped(function, tuple(part)) if isinstance(part, torch.Size) else function(part),
        x,
    )


def _weights(parts, seed):
    """Return an array of random weights for each."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=np.shape(part)) for part in parts]


def _pulled(parts, leaves, seed, again):
    """Return PyTorch's gradients of a random weighted sum of results; zeros where there is nothing to pull."""
    pairs = [
        (part, torch.as_tensor(w).to(part.dtype))
        for part, w in zip(parts, _weights(parts, seed), strict=True)
        if part.requires_grad
    ]
    if not pairs or not leaves:
        return [torch.zeros_like(x) for x in leaves]
    outputs, seeds = zip(*pairs, strict=True)
    return torch.autograd.grad(
        outputs, leaves, seeds, create_graph=again, allow_unused=True, materialize_grads=True
    )


def theirs(name, args, kwargs, moved=False):
    """Return [values, gradients, second derivatives] as PyTorch has them, as far as it has them.

    `moved` asks for the same with each argument larger by a few units in the last place.
    """
    leaves, op = [], INFOS[name]

    def fresh(x):
        if isinstance(x, torch.Tensor) and x.dtype is torch.bfloat16:
            raise NotHere("NumPy has no bfloat16")
        if not _variable(x):
            return x
        x = x.detach() * (1 + (len(leaves) + 1) * 2.0**-50) if moved else x.detach()
        leaves.append(x.requires_grad_())
        return x

    y = op(*_mapped(fresh, args), **_mapped(fresh, kwargs))
    if y is NotImplemented:
        raise NotHere("PyTorch refuses the call")
    if name in DECOMPOSITIONS:
        y = results(DECOMPOSITIONS[name], y)
    parts = [torch.as_tensor(part) for part in trees.leaves(y)]
    parts = [part for part in parts if part.dtype.is_floating_point] or parts
    orders = [parts]
    with suppress(RuntimeError):  # not implemented, or not twice
        orders.append(_pulled(parts, leaves, 1, again=True))
        if sum(part.numel() for part in [*parts, *leaves]) <= SMALL:
            orders.append(_pulled(orders[1], leaves, 2, again=False))
    return [[part.detach().numpy(force=True) for part in parts] for parts in orders]


def _here(x):
    """Return an argument as it is given here: floats as tensors, other arrays and dtypes as NumPy's."""
    if isinstance(x, torch.Tensor):
        array = x.detach().numpy()
        return tn.tensor(array, requires_grad=x.requires_grad) if array.dtype.kind == "f" else array
    return torch.empty((), dtype=x).numpy().dtype if isinstance(x, torch.dtype) else x


def _weighted(parts, seed):
    total = tn.tensor(np.zeros(()))
    for part, w in zip(parts, _weights(parts, seed), strict=True):
        if isinstance(part, tn.Tensor) and part.requires_grad:
            total = total + tn.product(part, w.astype(part.dtype)).sum()
    return total


def ours(function, args, kwargs, order):
    """Yield values, gradients, second derivatives as this library has them, up to an order."""
    leaves = []

    def fresh(x):
        x = _here(x)
        if isinstance(x, tn.Tensor) and x.requires_grad:
            leaves.append(x)
        return x

    with np.errstate(all="ignore"):
        parts = list(trees.leaves(function(*_mapped(fresh, args), **_mapped(fresh, kwargs))))
    for k in range(order + 1):
        if k:
            with np.errstate(all="ignore"):
                parts = tn.gradients(_weighted(parts, k), leaves, create_graph=k < order)
        yield [part.data if isinstance(part, tn.Tensor) else np.asarray(part) for part in parts]


# What has to agree


def _apart(found, expected, tolerance):
    """Return where `found` is not what is expected; a finite number where the oracle has NaN is right."""
    if found.dtype.kind != "f" or expected.dtype.kind != "f":
        return found != expected
    with np.errstate(all="ignore"):
        near = np.isfinite(expected) & (np.abs(found - expected) <= tolerance)
    return ~(near | (found == expected) | (np.isnan(expected) & ~np.isinf(found)))


def _tolerance(expected, results, relative):
    """Return how far from what is expected is near, in the least exact dtype that is met on the way."""
    eps = max(np.finfo(part.dtype).eps for part in results[0]) if results[0][0].dtype.kind == "f" else 0
    with np.errstate(all="ignore"):
        return max(relative, 4 * eps) * np.abs(expected) + ABSOLUTE


def _fitted(mask, shape):
    """Return a mask of an op's elements as one of an array that they are computed from: any that it takes part in."""
    mask = np.asarray(mask)
    while mask.ndim > len(shape):
        mask = mask.any(axis=0)
    for k in range(-mask.ndim, 0):
        if shape[k] == 1:
            mask = mask.any(axis=k, keepdims=True)
    return np.broadcast_to(mask, shape)


def _declared(name, args, kwargs, order):
    """Return the differences that are declared for a call, with where they may be."""
    arrays = _mapped(lambda x: x.detach().numpy() if isinstance(x, torch.Tensor) else x, (args, kwargs))
    with np.errstate(all="ignore"):
        return [
            (difference, difference.where(*arrays[0], **arrays[1]))
            for difference in DIFFERENCES
            if name in difference.ops.split() and order in difference.orders
        ]


def _problems(name, args, kwargs, used):
    """Yield what is wrong with one call, order by order; `used` collects differences that are declared."""
    expected = theirs(name, args, kwargs)
    found = ours(OPS[name], args, kwargs, len(expected) - 1)
    moved = None
    for order, (fs, es) in enumerate(zip(found, expected, strict=True)):
        if len(fs) != len(es):
            yield f"order {order}: {len(fs)} results, PyTorch has {len(es)}"
            return
        for k, (f, e) in enumerate(zip(fs, es, strict=True)):
            if f.shape != e.shape:
                yield f"order {order}, part {k}: shape {f.shape}, PyTorch has {e.shape}"
                continue
            near = _tolerance(e, expected, RELATIVE.get(name, (1e-9,))[0])
            wrong = _apart(f, e, near)
            if wrong.any():  # as far as a few units in the last place of the arguments take the result
                moved = moved or theirs(name, args, kwargs, moved=True)
                with np.errstate(all="ignore"):
                    wrong &= _apart(f, e, near + 30 * np.abs(moved[order][k] - e))
            if not wrong.any():
                continue
            for difference, where in _declared(name, args, kwargs, order):
                here = _fitted(where, e.shape)
                if (wrong & here).any():
                    used.add(difference)
                wrong = wrong & ~here
            if wrong.any():
                places = np.argwhere(wrong)
                at = tuple(places[0])
                yield (
                    f"order {order}, part {k}, {len(places)} of {e.size} elements: "
                    f"at {[int(i) for i in at]} {f[at]!s}, PyTorch has {e[at]!s}"
                )


def _shown(args, kwargs):
    def brief(x):
        if not isinstance(x, torch.Tensor):
            return x
        return f"{str(x.dtype)[6:]}{list(x.shape)}" + (f"={x.tolist()}" if x.numel() < 7 else "")

    return f"{_mapped(brief, args)} {_mapped(brief, kwargs)}"


def check(name, tally, used):
    """Return what is wrong with an op, and count its samples."""
    wrong = []
    for label, args, kwargs in samples_of(name):
        tally["ran"] += 1
        met, problems, outcome = set(), [], "agreed"
        try:
            # What is refused in a higher order is compared in the lower ones.
            for problem in _problems(name, args, kwargs, met):
                problems.append(problem)
        except NotHere:
            outcome = "not there"
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if isinstance(error, tn.TinygradError) and re.search(REFUSED.get(name, "$^"), text):
                outcome = "not there"
                used.add(name)
            else:
                problems.append(text)
        tally["wrong" if problems else "declared" if met else outcome] += 1
        used |= met
        wrong += [f"{label}: {problem}\n    {_shown(args, kwargs)}" for problem in problems]
    return wrong


TALLY, USED = Counter(), set()


@pytest.fixture(scope="module", autouse=True)
def _counts_are_printed(request):
    yield
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nOpInfo: {dict(TALLY)}")


@pytest.mark.parametrize("name", OPS)
def test_samples_of_opinfo_agree_with_pytorch(name):
    tally = Counter()
    wrong = check(name, tally, USED)
    TALLY.update(tally)
    assert not wrong, f"{name}: {dict(tally)}\n  " + "\n  ".join(wrong[:8])
    assert tally["agreed"] + tally["declared"] > 0


def test_every_declared_difference_and_refusal_is_there():
    if SHARE != "all":
        pytest.skip("a share of the samples does not show every one")
    assert [declared for declared in [*DIFFERENCES, *REFUSED] if declared not in USED] == []


def test_a_finite_number_may_stand_for_nan_and_nothing_else_differ():
    found, expected = np.array([1, 1, np.inf, np.nan, 1 + 1e-6]), np.array([1, np.nan, np.nan, 1, 1])
    assert _apart(found, expected, 1e-9).tolist() == [False, False, True, True, True]


def test_a_difference_is_where_any_of_its_elements_is():
    mask = np.array([[[False, False], [True, False]]] * 2)
    assert _fitted(mask, (2, 1)).tolist() == [[False], [True]]
    assert _fitted(mask, (2,)).tolist() == [True, False]


def test_the_mapping_covers_what_opinfo_has():
    assert set(OPS) <= set(INFOS)
    assert len(OPS) >= 390
