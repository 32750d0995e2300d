"""A rule at work on one call: the value of its formula, and one entry of it as a calculation with numbers."""

from __future__ import annotations

import ast
import math
import operator
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from tinygrad_nn.languages import Language
from tinygrad_nn.primitives import Array, Params, Primitive
from tinygrad_nn.primitives.primitive import primitive_of
from tinygrad_nn.viz.mathematics import AsWritten, Formula, Opaque, Settled, called, formula_of, names
from tinygrad_nn.viz.notation import PRODUCT, SUM, Notation, Part, figure, phrase_of

Index = tuple[int | slice, ...]
Quantity: TypeAlias = Any
"""What a part of a formula stands for: an array, a number, or a setting of the call."""

_MOST_TERMS, _SHOWN_TERMS = 4, 3
"""Of a sum with more terms only the largest are shown, so many."""
_BINARY: Mapping[type[ast.operator], Callable[[Quantity, Quantity], Quantity]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.MatMult: np.matmul,
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Quantity, Quantity], Quantity]] = {
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def number(x: object) -> str:
    """Return a number with four significant digits."""
    return f"{x:.4g}" if isinstance(x, (float, np.floating)) else str(x)


class Occasion:
    """A rule at work: one call of an op, the gradient of its result, and the operand that a gradient is handed to.

    Args:
        op, place: whose rule, for which operand.
        operands, y, g: arrays or numbers; the result, and its gradient.
        params: the settings of the call.
    """

    def __init__(
        self,
        op: Primitive,
        place: int,
        operands: Sequence[Quantity],
        y: Quantity,
        g: Quantity,
        params: Params,
    ) -> None:
        self.op, self.place, self.operands, self.params = op, place, operands, params
        self.formula: Formula = formula_of(op, place)
        rule = op.rule(place)
        self.values: Params = {"g": g, "y": y, "xs": tuple(operands)}
        letters = ("x",) * (place + 1) if op.variadic else op.operand_names
        self.values |= dict(zip(letters, operands, strict=False))
        settings: Params = {"axis": -1, "n": np.size(operands[place]) // max(np.size(y), 1), "i": place}
        settings |= {**rule.defaults, **params, "shapes": tuple([np.shape(x) for x in operands])}
        self.settings: Params = {k: v for k, v in settings.items() if k not in self.values}
        self._reduces = "keepdims" in rule.keywords
        # Trees are kept beside their values, so that no other tree gets their identity.
        self._known: dict[int, tuple[ast.expr, Quantity]] = {}

    @cached_property
    def tree(self) -> ast.expr | None:
        """The formula with settings decided, and numbers for operands that are plain numbers."""
        if self.formula.tree is None:
            return None
        literals = {k: v for k, v in self.values.items() if isinstance(v, (int, float))}
        values = {*self.values, *self.op.residuals}
        settled = Settled({*self.settings}, values, literals, self.value, self._python)
        try:
            return settled.visit(deepcopy(self.formula.tree))
        except Exception:
            self.refuse()
            return None

    def refuse(self) -> None:
        """Raise again what went wrong in a rule of ours; one of the user may compute with what nobody can look into."""
        if str(self.op.home[0]).startswith("tinygrad_nn."):
            raise

    def gradient(self) -> Array:
        """Return the value of the formula, in the shape of the operand; what broadcasting did is undone."""
        assert self.tree is not None
        found, shape = np.asarray(self.value(self.tree)), np.shape(self.operands[self.place])
        found = np.sum(found, axis=tuple(summed(shape, found.shape)), keepdims=True)
        return np.broadcast_to(found.reshape(found.shape[max(found.ndim - len(shape), 0) :]), shape)

    def value(self, node: ast.expr) -> Quantity:
        """Return the value of a part of the formula."""
        if id(node) not in self._known:
            self._known[id(node)] = node, self._compute(node)
        return self._known[id(node)][1]

    def _compute(self, node: ast.expr) -> Quantity:
        match node:
            case ast.Name(id=name):
                return math.pi if name == "pi" else self._letter(name)
            case ast.Constant(value=value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return np.negative(self.value(operand))
            case ast.BinOp(left=left, op=sign, right=right):
                return _BINARY[type(sign)](self.value(left), self.value(right))
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                return _COMPARE[type(sign)](self.value(left), self.value(right))
            case ast.Attribute(value=value, attr="T"):
                return np.swapaxes(np.asarray(self.value(value)), -1, -2)
            case ast.Subscript(value=value) if names(value).isdisjoint(self.settings):
                return self._at(node)
            case Opaque():
                return self._call(node)
        return self._python(node)

    def _letter(self, name: str) -> Quantity:
        """Return what a letter of the formula stands for; of a reduction with the axes that it took away."""
        if name in self.op.residuals:
            return self.op.residual(name, self.operands, self.params)
        known = next(k for k in (self.values, self.settings, self.formula.scope) if name in k)
        value = known[name]
        axis = self.settings.get("axis")
        if self._reduces and name in ("g", "y") and axis is not None and not self.settings["keepdims"]:
            return np.expand_dims(np.asarray(value), axis)
        return value

    def _call(self, node: Opaque) -> Quantity:
        name = called(node.func)
        if not self.formula.declared:
            plain = (
                len(node.args) == 1 and not node.keywords and isinstance(getattr(np, name, None), np.ufunc)
            )
            return getattr(np, name)(self.value(node.args[0])) if plain else self._python(node.origin)
        arguments = [self.value(x) for x in node.args]
        if name in ("sum", "mean"):
            return getattr(np, name)(arguments[0], axis=self.axes(node), keepdims=True)
        if name in _HERE:
            return _HERE[name](self, *map(np.asarray, arguments))
        keywords = {str(x.arg): self.value(x.value) for x in node.keywords}
        function = getattr(np, name, None) or primitive_of(name).function
        return function(*arguments, **keywords)

    def _python(self, node: ast.expr) -> Quantity:
        """Return the value of a part of a rule as it stands in its source."""
        residuals = {name: self._letter(name) for name in self.op.residuals if name in names(node)}
        known = ChainMap(residuals, self.values, self.settings, {"np": np, "math": math}, self.formula.scope)
        written = ast.fix_missing_locations(ast.Expression(AsWritten().visit(deepcopy(node))))
        return eval(compile(written, self.op.name, "eval"), {}, known)

    def _at(self, node: ast.Subscript) -> Array:
        """Return an array with other axes, or a part of it."""
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        index: Quantity = tuple([self._part_of_index(part) for part in parts])
        return np.asarray(self.value(node.value))[index]

    def _part_of_index(self, part: ast.expr) -> Quantity:
        if not isinstance(part, ast.Slice):
            return self.value(part)
        return slice(*[end and self.value(end) for end in (part.lower, part.upper, part.step)])

    # What functions of declared formulas mean depends on the call.

    def axes(self, node: ast.Call) -> tuple[int, ...] | None:
        """Return the axes of a sum: those that it names, or those of the call."""
        named = [self.value(x.value) for x in node.keywords if x.arg == "axis"]
        of_call = self.settings["axis"] if self.formula.declared else None
        return _as_axes(named[0] if named else of_call)

    def ties(self, y: Array) -> Array:
        equal = np.asarray(self.values["x"] == y)
        return np.asarray(np.sum(equal, axis=_as_axes(self.settings["axis"]), keepdims=True))

    def one_hot(self, labels: Array) -> Array:
        return np.eye(np.shape(self.operands[0])[-1])[labels]

    def its_part(self, g: Array) -> Array:
        """Return for each entry of the operand the sum of what of `g` was copied from it."""

        def made(shown: Array) -> Array:
            operands = [
                shown if k == self.place else np.zeros(np.shape(x)) if np.asarray(x).dtype.kind == "f" else x
                for k, x in enumerate(self.operands)
            ]
            return np.asarray(self.op.function(*operands, **self.params))

        shape = np.shape(self.operands[self.place])
        numbers = np.arange(1.0, math.prod(shape) + 1).reshape(shape)
        origins = (made(numbers) - made(np.zeros(shape))).astype(int).ravel()
        return np.bincount(origins, g.ravel(), numbers.size + 1)[1:].reshape(shape)

    def rest_of_sum(self, g: Array) -> Array:
        """Return the adjoint of a function that is linear in the operand, from its values on a basis."""
        x = np.asarray(self.operands[self.place])
        basis = np.eye(x.size).reshape(x.size, *x.shape)
        operands = [[*self.operands[: self.place], e, *self.operands[self.place + 1 :]] for e in basis]
        return np.reshape(
            [np.sum(g * self.op.function(*given, **self.params)) for given in operands], x.shape
        )

    def sums_from_the_end(self, v: Array) -> Array:
        axis = self.settings["axis"]
        if axis is None:
            return np.flip(np.cumsum(np.flip(v.ravel()))).reshape(np.shape(self.operands[self.place]))
        return np.flip(np.cumsum(np.flip(v, axis), axis), axis)


_HERE: Mapping[str, Callable[..., Array]] = {
    "ties": Occasion.ties,
    "one_hot": Occasion.one_hot,
    "its_part": Occasion.its_part,
    "rest_of_sum": Occasion.rest_of_sum,
    "sums_from_the_end": Occasion.sums_from_the_end,
    "row": lambda _, x, k: x[..., int(k) : int(k) + 1, :],
    "rows": lambda _, *parts: np.concatenate(np.broadcast_arrays(*parts), axis=-2),
    "phi": lambda _, a: np.tril(a) * (1 - np.eye(a.shape[-1]) / 2),
    "inv": lambda _, a: np.linalg.inv(a),
    "normal": lambda _, x: np.asarray([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel()]).reshape(
        x.shape
    ),
    "normal_density": lambda _, x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
}
"""Functions of formulas that NumPy lacks, or that depend on the call."""


def _as_axes(axis: Quantity) -> tuple[int, ...] | None:
    return axis if axis is None or isinstance(axis, tuple) else (axis,)


def summed(shape: tuple[int, ...], full: tuple[int, ...]) -> list[int]:
    """Return the axes that broadcasting `shape` to `full` added or stretched, if it does broadcast."""
    lead = len(full) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, full[lead:], strict=True)):
        return []
    return [*range(lead), *[k + lead for k, n in enumerate(shape) if n != full[k + lead]]]


def entry(array: Quantity, index: Index) -> Quantity:
    """Return an entry of an array that is broadcast to where the index belongs."""
    a = np.asarray(array)
    place = index[len(index) - a.ndim :]
    return a[tuple(0 if n == 1 and k != slice(None) else k for n, k in zip(a.shape, place, strict=True))]


class Numbers(Notation):
    """Writes one entry of a formula, with numbers for its letters, and sums written out."""

    def __init__(self, occasion: Occasion, index: Index, lang: Language) -> None:
        super().__init__({}, lang)
        self.occasion, self.index = occasion, index

    def at(self, index: Index) -> Numbers:
        return Numbers(self.occasion, index, self.lang)

    def part(self, node: ast.expr) -> Part:
        if isinstance(node, ast.Attribute):
            *lead, row, column = self.index
            return self.at((*lead, column, row)).part(node.value)
        return super().part(node)

    def leaf(self, name: str) -> Part:
        return super().leaf(name) if name == "pi" else self._opaque(ast.Name(name))

    def subscript(self, node: ast.Subscript, value: ast.expr) -> Part:
        return self._opaque(node)

    def call(self, node: ast.Call) -> Part:
        name = called(node.func)
        if name == "sum":
            (inside,) = node.args
            return self._sum(inside, np.shape(self._array(inside)), self.occasion.axes(node), self.index)
        # Functions of one operand are followed into it, all others are numbers.
        if name == "where" or isinstance(getattr(np, name, None), np.ufunc):
            return super().call(node)
        return self._opaque(node)

    def in_words(self, name: str, arguments: list[ast.expr]) -> Part:
        assert name == "where"
        return super().in_words(name, arguments)

    def operation(self, node: ast.BinOp) -> Part:
        return self._product(node) if isinstance(node.op, ast.MatMult) else super().operation(node)

    def calculation(self, node: ast.expr, shape: tuple[int, ...]) -> str:
        """Return one entry of a gradient of this shape; what broadcasting had copied is summed up."""
        full = np.shape(self._array(node))
        axes = summed(shape, full)
        if not axes:
            return self.write(node)
        return self._sum(node, full, tuple(axes), self.index)[0]

    def _array(self, node: ast.expr) -> Array:
        return np.asarray(self.occasion.value(node))

    def _opaque(self, node: ast.expr) -> Part:
        return figure(number(entry(self.occasion.value(node), self.index)))

    def _sum(
        self, node: ast.expr, shape: tuple[int, ...], axes: tuple[int, ...] | None, index: Index
    ) -> Part:
        over = {k % len(shape) for k in (range(len(shape)) if axes is None else axes)} if shape else set()
        index = (0,) * (len(shape) - len(index)) + index[max(len(index) - len(shape), 0) :]
        along = tuple(slice(None) if k in over else index[k] for k in range(len(shape)))
        terms = np.asarray(entry(self.occasion.value(node), along))

        def term(k: int, first: bool) -> str:
            steps = iter(np.unravel_index(k, terms.shape))
            place = tuple(int(next(steps)) if j in over else index[j] for j in range(len(shape)))
            return self.at(place).inside(node, PRODUCT, first=first)

        return self._terms(terms.ravel(), term)

    def _product(self, node: ast.BinOp) -> Part:
        a, b = self._array(node.left), self._array(node.right)

        def places(k: int | slice) -> tuple[Index, Index]:
            if b.ndim == 1:
                return (*self.index, k), (k,)
            if a.ndim == 1:
                return (k,), (*self.index[:-1], k, self.index[-1])
            return (*self.index[:-1], k), (*self.index[:-2], k, self.index[-1])

        def term(k: int, first: bool) -> str:
            left, right = places(k)
            return f"{self.at(left).factor(node.left, first=first)} · {self.at(right).factor(node.right)}"

        left, right = places(slice(None))
        return self._terms(np.atleast_1d(np.multiply(entry(a, left), entry(b, right))), term)

    def _terms(self, values: Array, term: Callable[[int, bool], str]) -> Part:
        count = values.size
        if count <= _MOST_TERMS:
            texts = [term(k, k == 0) for k in range(count)]
        else:
            largest = np.argsort(-np.abs(values), kind="stable")[:_SHOWN_TERMS]
            texts = [term(int(k), n == 0) for n, k in enumerate(largest)]
            texts.append(phrase_of("more", self.lang, [str(count - _SHOWN_TERMS)]))
        return " + ".join(texts) or "0", SUM if count > 1 else PRODUCT
