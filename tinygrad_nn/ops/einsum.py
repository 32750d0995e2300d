"""einsum: its gradient is another einsum, whatever the subscripts."""

from __future__ import annotations

from itertools import chain
from string import ascii_letters
from typing import Any

import numpy as np

from tinygrad_nn.errors import ShapeError
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Sample, Shapes, op


def _explicit(subscripts: str, ranks: list[int]) -> str:
    """Write subscripts with one letter for each axis, ellipses and the implicit output spelled out.

    Example:
        >>> _explicit("...i,i", [3, 1])
        'YZi,i->YZ'
    """
    inputs, arrow, output = (part.replace(" ", "") for part in subscripts.partition("->"))
    terms = inputs.split(",")
    if any(term.count("...") > 1 for term in (*terms, output)):
        raise ShapeError(f"einsum: {subscripts!r} has two ellipses in one term")
    if len(terms) != len(ranks):
        raise ShapeError(f"einsum: {subscripts!r} is for {len(terms)} operands, got {len(ranks)}")
    extra = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    most = max([0, *[n for term, n in zip(terms, extra, strict=True) if "..." in term]])
    batch = "".join(sorted([letter for letter in reversed(ascii_letters) if letter not in subscripts][:most]))
    if not arrow:
        counted = inputs.replace(",", "").replace(".", "")
        output = "..." + "".join(sorted(k for k in set(counted) if counted.count(k) == 1))
    elif batch and "..." not in output:
        raise ShapeError(
            f"einsum: the axes of ... in {subscripts!r} have no place in the output\n"
            f"  hint   {subscripts.replace(' ', '').replace('->', '->...')!r} keeps them"
        )
    terms = [term.replace("...", batch[most - n :]) for term, n in zip(terms, extra, strict=True)]
    for term, rank in zip(terms, ranks, strict=True):
        if len(term) != rank:
            raise ShapeError(
                f"einsum: {term!r} in {subscripts!r} is for {len(term)} axes, the operand has {rank}"
            )
    return ",".join(terms) + "->" + output.replace("...", batch)


# An output that is not given orders the axes by their letters.
_AXES = "".join(sorted(ascii_letters))


def _spelled(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return subscripts and operands; lists of axis numbers after each operand become letters."""
    if isinstance(args[0], str):
        return args[0], args[1:]
    count = len(args) // 2
    lists = (*args[1::2], *args[2 * count :])
    terms = ["".join("..." if k is Ellipsis else _AXES[k] for k in axes) for axes in lists]
    return "->".join([",".join(terms[:count]), *terms[count:]]), args[: 2 * count : 2]


def _adapt(*args: Any, optimize: Any = False, **other: Any) -> Sample:
    subscripts, operands = _spelled(args)
    params = {"subscripts": _explicit(subscripts, [np.ndim(x) for x in operands]), **other}
    if params.get("out", ...) is None:
        del params["out"]
    return operands, params | {"optimize": optimize} if optimize is not False else params


def _rule(
    g: Array, xs: tuple[Array, ...], *, i: int, shapes: Shapes, subscripts: str, optimize: object = False
) -> Array:
    """Sum over everything but the axes of operand i.

    A letter that stands twice in the operand gets a second name, tied to the first by an identity matrix; a
    letter that stands nowhere else is brought in by a vector of ones.
    """
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    axes = zip("".join(terms), chain.from_iterable(shapes), strict=True)
    lengths = {letter: n for letter, n in axes if n != 1}
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


einsum = op(
    np.einsum,
    _rule,
    call=lambda *operands, subscripts, **params: np.einsum(subscripts, *operands, **params),
    variadic=True,
    adapt=_adapt,
    formula="rest_of_sum(g)",
    samples=cases(
        [(2, 3), (3, 4), {"subscripts": "ij,jk->ik"}, (2, 3, 4), (2, 4, 3), {"subscripts": "bij,bjk->bik"}],
        [(2, 3), {"subscripts": each("ij->ji", "ij->")}, (3, 4), {"subscripts": "ij->i"}],
        [(3, 3), {"subscripts": each("ii->", "ii->i")}, (3, 3, 2), {"subscripts": "iij->ij"}],
        [(2, 2, 2), {"subscripts": "iii->"}, (3,), (3,), (3,), {"subscripts": "i,i,i->"}],
        [(2,), (3,), {"subscripts": "i,j->ij"}, (2, 1), (2, 3), {"subscripts": "ij,ij->i"}],
        [(2, 3), (4,), {"subscripts": "ij,k->i"}, (2, 3), (3, 4), (4, 2), {"subscripts": "ij,jk,kl->il"}],
        [(), (3,), {"subscripts": ",i->i"}, (0,), (0,), {"subscripts": "i,i->"}],
    ),
)
