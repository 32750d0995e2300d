"""einsum: its gradient is another einsum, whatever the subscripts."""

from itertools import chain
from string import ascii_letters
from typing import Any

import numpy as np

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.primitives.declare import op


def _explicit(subscripts: str, ranks: list[int]) -> str:
    """Write subscripts with one letter for each axis, ellipses and the implicit output spelled out.

    Example:
        >>> _explicit("...i,i", [3, 1])
        'YZi,i->YZ'
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        raise ShapeError(f"einsum: {subscripts!r} is for {len(terms)} operands, got {len(ranks)}")
    extra = [
        rank - len(term.replace("...", "")) if "..." in term else 0
        for term, rank in zip(terms, ranks, strict=True)
    ]
    free = [letter for letter in reversed(ascii_letters) if letter not in subscripts]
    batch = "".join(sorted(free[: max(extra)]))
    if not arrow:
        counted = inputs.replace(",", "").replace(".", "")
        output = "..." + "".join(sorted(k for k in set(counted) if counted.count(k) == 1))
    terms = [term.replace("...", batch[len(batch) - n :]) for term, n in zip(terms, extra, strict=True)]
    for term, rank in zip(terms, ranks, strict=True):
        if len(term) != rank:
            raise ShapeError(
                f"einsum: {term!r} in {subscripts!r} is for {len(term)} axes, the operand has {rank}"
            )
    return ",".join(terms) + "->" + output.replace("...", batch)


_AXES = "".join(sorted(ascii_letters))  # an output that is not given orders the axes by their letters


def _spelled(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return subscripts and operands; lists of axis numbers after each operand become letters."""
    if isinstance(args[0], str):
        return args[0], args[1:]
    operands, lists = args[: len(args) // 2 * 2 : 2], args[1::2]
    terms = ["".join("..." if k is Ellipsis else _AXES[k] for k in axes) for axes in lists]
    if len(args) % 2:
        terms.append("".join("..." if k is Ellipsis else _AXES[k] for k in args[-1]))
        return ",".join(terms[:-1]) + "->" + terms[-1], operands
    return ",".join(terms), operands


def _adapt(*args: Any, optimize: Any = False, **other: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    subscripts, operands = _spelled(args)
    params = {"subscripts": _explicit(subscripts, [np.ndim(x) for x in operands]), **other}
    if params.get("out", ...) is None:
        del params["out"]
    return operands, params | {"optimize": optimize} if optimize is not False else params


def _rule(g: Any, xs: Any, *, i: int, shapes: Any, subscripts: str, optimize: Any = False) -> Any:
    """Sum over everything but the axes of operand i.

    A letter that stands twice in the operand gets a second name, tied to the first by an identity matrix; a
    letter that stands nowhere else is brought in by a vector of ones.
    """
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    lengths = {
        k: n
        for term, shape in zip(terms, shapes, strict=True)
        for k, n in zip(term, shape, strict=True)
        if n != 1
    }
    names = iter(letter for letter in ascii_letters if letter not in subscripts)
    factors = [x for k, x in enumerate(xs) if k != i]
    known = [output, *[term for k, term in enumerate(terms) if k != i]]
    target = ""
    for letter in terms[i]:
        name = next(names) if letter in target else letter
        if name != letter:
            factors.append(np.eye(lengths.get(letter, 1), dtype=g.dtype))
            known.append(letter + name)
        target += name
    for letter in dict.fromkeys(terms[i]):
        if letter not in set(chain.from_iterable(known)):
            factors.append(np.ones(lengths.get(letter, 1), g.dtype))
            known.append(letter)
    return np.einsum(",".join(known) + "->" + target, g, *factors, optimize=bool(optimize))


def _samples(rng: np.random.Generator) -> list[Any]:
    cases: list[tuple[str, list[tuple[int, ...]]]] = [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 3)]),
        ("ij->ji", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ij->i", [(3, 4)]),
        ("ii->", [(3, 3)]),
        ("ii->i", [(3, 3)]),
        ("iij->ij", [(3, 3, 2)]),
        ("iii->", [(2, 2, 2)]),
        ("i,j->ij", [(2,), (3,)]),
        ("i,i,i->", [(3,), (3,), (3,)]),
        ("ij,ij->i", [(2, 1), (2, 3)]),
        ("ij,k->i", [(2, 3), (4,)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        (",i->i", [(), (3,)]),
        ("i,i->", [(0,), (0,)]),
    ]
    return [
        (tuple(rng.normal(size=shape) for shape in shapes), {"subscripts": text}) for text, shapes in cases
    ]


einsum = op(
    np.einsum,
    _rule,
    call=lambda *operands, subscripts, **params: np.einsum(subscripts, *operands, **params),
    variadic=True,
    adapt=_adapt,
    samples=_samples,
)
