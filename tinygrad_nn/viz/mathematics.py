"""Derivative rules as mathematics: the formula of a rule, or its source, as one tree that can be shown and computed.

A formula is a Python expression in the letters of a rule (g, y, the operands), settings of the call, `n` (how many
elements a reduction brings together), and functions. Sources of rules are brought to the same form: `product(g, b)`
is g * b. What depends on settings and shapes alone is decided before anything is shown.
"""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Callable, Container, Mapping, MutableMapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType

import numpy as np

from tinygrad_nn.primitives import Primitive
from tinygrad_nn.viz.sources import source

_OPERATORS = {
    "product": ast.Mult,
    "both": ast.Mult,
    "quotient": ast.Div,
    "part": ast.Div,
    "divided": ast.Div,
}
"""Functions that rules call in place of an operator."""
_ITSELF = ("float", "restore", "used")
"""Functions whose result is their first argument, to a reader."""
_FILLED = {"zeros_like": 0, "zeros": 0, "ones_like": 1}


class Opaque(ast.Call):
    """A call that is shown by its name and computed as it was written, in `origin`."""

    origin: ast.expr


@dataclass(frozen=True, slots=True)
class Formula:
    """A rule as a tree, and what its functions are called by; without a tree it is the text alone.

    Attributes:
        text: as it was declared, or the source.
        tree: the same as mathematics.
        scope: the names that the source of a rule can see.
        declared: whether it stands beside the rule, which it has to equal.
        words: whether it is for readers alone, as docstrings are.
    """

    text: str
    tree: ast.expr | None = None
    scope: MutableMapping[str, object] = field(default_factory=dict)
    declared: bool = False
    words: bool = False


@cache
def formula_of(op: Primitive, place: int) -> Formula:
    """Return the formula of the rule for an operand: the declared one, or its source, or what its docstring says."""
    which = 0 if op.variadic else place
    rule = op.rule(place)
    declared = op.formulas[which]
    if declared is not None:
        return Formula(declared, _canonical(declared), declared=True)
    function = rule.function
    if function.__doc__:
        # A rule in several lines says in its docstring: The gradient for ...: g @ b.T, ...
        words = function.__doc__.splitlines()[0].rpartition(": ")[2].split(", ")[0].rstrip(".")
        return Formula(words.replace(".T", "ᵀ").replace(" * ", " · ").replace(" - ", " − "), words=True)
    text = source(function)[0]
    free = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    scope = ChainMap({name: cell.cell_contents for name, cell in free}, function.__globals__)
    modules = {name for name, value in scope.items() if isinstance(value, ModuleType)}
    return Formula(text, _canonical(text, modules), scope)


def _canonical(text: str, modules: Container[str] = ()) -> ast.expr | None:
    """Return an expression with operators where rules call functions; None where it is none."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
    made: ast.expr = _Operators(modules).visit(tree)
    return made


def called(node: ast.expr) -> str:
    """Return the last part of the name of a function: exp of np.exp."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _root(node: ast.expr) -> str:
    """Return the first of names with dots between them."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


class _Operators(ast.NodeTransformer):
    """Writes operators for the functions that stand for them, and names of functions without their module."""

    def __init__(self, modules: Container[str]) -> None:
        self._modules = modules

    def visit_Call(self, node: ast.Call) -> ast.expr:
        origin, name = deepcopy(node), called(node.func)
        given = [x for x in node.args if not isinstance(x, ast.Starred)]
        if isinstance(node.func, ast.Attribute) and _root(node.func) not in self._modules:
            # A method is a function of what it is called on.
            given.insert(0, node.func.value)
        arguments = [self.visit(x) for x in given]
        keywords = [ast.keyword(x.arg, self.visit(x.value)) for x in node.keywords]
        if name in _OPERATORS:
            return ast.BinOp(arguments[0], _OPERATORS[name](), arguments[1])
        if name in _ITSELF:
            first: ast.expr = arguments[0]
            return first
        if name in _FILLED:
            return ast.Constant(_FILLED[name])
        if name == "hypot":
            squares = [ast.BinOp(x, ast.Pow(), ast.Constant(2)) for x in arguments]
            name, arguments = "sqrt", [ast.BinOp(squares[0], ast.Add(), squares[1])]
        made = Opaque(ast.Name(name), arguments, keywords)
        made.origin = origin
        return made

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if node.attr == "pi":
            return ast.Name("pi")
        return ast.Attribute(self.visit(node.value), node.attr) if node.attr == "T" else node


class AsWritten(ast.NodeTransformer):
    """Puts calls back as they stand in the source."""

    def visit_Opaque(self, node: Opaque) -> ast.expr:
        return node.origin


def names(tree: ast.AST) -> set[str]:
    """Return the names in a tree, those of functions too."""
    inside = [tree, *(node.origin for node in ast.walk(tree) if isinstance(node, Opaque))]
    return {node.id for part in inside for node in ast.walk(part) if isinstance(node, ast.Name)}


class Settled(ast.NodeTransformer):
    """Decides what depends on settings and shapes alone, puts numbers for these, and writes powers; changes the tree.

    Args:
        settings: the names of what is decided.
        values: the names of what is not.
        literals: operands that are plain numbers.
        compute: returns the value of a tree.
        decide: tells whether a condition on settings holds.
    """

    def __init__(
        self,
        settings: set[str],
        values: set[str],
        literals: Mapping[str, float],
        compute: Callable[[ast.expr], object],
        decide: Callable[[ast.expr], object],
    ) -> None:
        self._settings, self._values, self._literals = settings, values, literals
        self._compute, self._decide = compute, decide

    def visit(self, node: ast.AST) -> ast.expr:
        if isinstance(node, ast.IfExp) and names(node.test).isdisjoint(self._values):
            return self.visit(node.body if self._decide(node.test) else node.orelse)
        if isinstance(node, ast.Name) and node.id in self._literals:
            return ast.Constant(self._literals[node.id])
        if isinstance(node, ast.expr) and _is_measure(node):
            size = self._decide(node)
            assert isinstance(size, int)
            return ast.Constant(size)
        if isinstance(node, ast.expr):
            used = names(node)
            if used & self._settings and not used & self._values:
                number = self._compute(node)
                if isinstance(number, (int, float, np.number)):
                    return ast.Constant(number.item() if isinstance(number, np.number) else number)
        visited: ast.expr = super().visit(node)
        return visited

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right, operator = self.visit(node.left), self.visit(node.right), node.op
        a, b = number_of(left), number_of(right)
        if a is not None and b is not None and isinstance(operator, (ast.Add, ast.Sub)):
            return ast.Constant(a + b if isinstance(operator, ast.Add) else a - b)
        if b == 1 and isinstance(operator, (ast.Pow, ast.Mult, ast.Div)):
            return left
        if a == 1 and isinstance(operator, ast.Pow):
            return left
        if isinstance(operator, ast.Mult):
            if _same(left, right):
                return ast.BinOp(left, ast.Pow(), ast.Constant(2))
            if isinstance(left, ast.UnaryOp) and _same(left.operand, right):
                return ast.UnaryOp(left.op, ast.BinOp(right, ast.Pow(), ast.Constant(2)))
            if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult) and _same(left.right, right):
                return ast.BinOp(left.left, ast.Mult(), ast.BinOp(right, ast.Pow(), ast.Constant(2)))
        return ast.BinOp(left, operator, right)


def _is_measure(node: ast.expr) -> bool:
    """Tell whether a part of a rule asks how large an array is."""
    match node:
        case ast.Attribute(value=ast.Name(), attr="size" | "ndim"):
            return True
        case ast.Subscript(value=ast.Attribute(value=ast.Name(), attr="shape"), slice=ast.Constant()):
            return True
        case Opaque(func=ast.Name(id="len" | "size"), args=[ast.Name()], keywords=[]):
            return True
    return False


def number_of(node: ast.expr) -> float | None:
    """Return the number that a constant is."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) else None


def _same(a: ast.expr, b: ast.expr) -> bool:
    return isinstance(a, ast.Name) and ast.dump(a) == ast.dump(b)
