"""Mutants of source text: one place of a file is changed, and all lines stay where they are.

Skipped by rule is what no test can tell apart or ought to pin: annotations, strings, the texts of errors, warnings and
`__repr__`, assertions for type checkers, overloads, and what only type checkers run.
"""

import ast
import hashlib
from collections import Counter
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add}
LOGIC = {ast.And: ast.Or, ast.Or: ast.And}
TEXTS = {"warn", "cast", "TypeVar"}
"""Calls whose arguments are texts or types."""

SYMMETRIC = {"add", "multiply", "maximum", "minimum", "logical_and", "logical_or", "may_share_memory", "same"}
"""Calls whose operands may come in either order."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: its path below the package.
        function: the qualified name of the function or class around it; "" at the top of the file.
        before: the statement as it is, without what is indented below it; of a table the row.
        after: the statement as it becomes.
        which: which one, of equal changes of equal statements in one function.
        span: where the text that is replaced begins and ends.
        text: what stands there instead.
        lines: of the statement, up to the end of the change; of a function, where the change is among its defaults.
        on_import: whether it runs when the module is imported, before all tests or in whichever comes first.
    """

    file: str
    function: str
    before: str
    after: str
    which: int
    span: tuple[int, int]
    text: str
    lines: tuple[int, int]
    on_import: bool

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it in the list of equivalents."""
        return self.file, self.function, self.before, self.after

    @property
    def id(self) -> str:
        return hashlib.sha256(repr((*self.key, self.which)).encode()).hexdigest()[:8]

    def applied(self, source: bytes) -> bytes:
        return source[: self.span[0]] + self.text.encode() + source[self.span[1] :]

    def __str__(self) -> str:
        return (
            f"{self.id} {self.file}:{self.lines[0]} {self.function}\n    - {self.before}\n    + {self.after}"
        )


def mutants(file: str, source: bytes) -> list[Mutant]:
    """Return all mutants of a file."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for (before, after), function, *place in _Places(source).found:
        key = file, function, before, after
        found.append(Mutant(*key, seen[key], *place))
        seen[key] += 1
    return found


class _Places(ast.NodeVisitor):
    """Walks through a file and collects changes."""

    def __init__(self, source: bytes) -> None:
        self.found: list[tuple[tuple[str, str], str, tuple[int, int], str, tuple[int, int], bool]] = []
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._source = source
        self._names: list[str] = []
        self._inside = 0
        self._statement: ast.stmt | None = None
        self._row: tuple[int, int] | None = None
        self.visit(ast.parse(source))

    # Where a change is, and what it makes of the statement around it.

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _head(self) -> tuple[int, int]:
        """Return where the statement begins and ends, without what is indented below it; of a table the row."""
        if self._row is not None:
            return self._row
        start, end = self._span(self._statement)
        body = getattr(self._statement, "body", None)
        if body:
            end = self._span(body[0])[0]
            decorators = getattr(self._statement, "decorator_list", None)
            start = self._span(decorators[0])[0] - 1 if decorators else start
        return start, end

    def _lines(self, start: int, end: int) -> tuple[tuple[int, int], bool]:
        """Return the lines to reach, and whether they run on import."""
        # Defaults are set when a function is defined: who calls it has to notice.
        if isinstance(self._statement, Function) and start >= self._span(self._statement)[0]:
            return (self._statement.body[0].lineno, self._statement.end_lineno), False
        decorators = getattr(self._statement, "decorator_list", None)
        return ((decorators[0] if decorators else self._statement).lineno, end), not self._inside

    def _add(self, span: tuple[int, int], text: str, end: int) -> None:
        start, stop = self._head()
        whole = self._source[start:stop]
        text += "\n" * (self._source[slice(*span)].count(b"\n") - text.count("\n"))
        changed = whole[: span[0] - start] + text.encode() + whole[span[1] - start :]
        shown = tuple(" ".join(part.decode().split()).removesuffix(":") for part in (whole, changed))
        self.found.append((shown, ".".join(self._names), span, text, *self._lines(span[0], end)))

    def _replace(self, node: ast.expr, *others: ast.expr) -> None:
        for other in others:
            lines = "\n" * (node.end_lineno - node.lineno)
            self._add(self._span(node), f"({ast.unparse(other)}{lines})", node.end_lineno)

    def _instead(self, node: ast.stmt, text: str) -> None:
        self._add(self._span(node), text, node.end_lineno)

    # Statements.

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.stmt):
            return super().visit(node)
        outer, self._statement = self._statement, node
        if not self._is_skipped(node):
            super().visit(node)
        self._statement = outer
        return None

    def _is_skipped(self, node: ast.stmt) -> bool:
        match node:
            case ast.Assert() | ast.Import() | ast.ImportFrom():
                return True
            case ast.If(test=test):
                return "TYPE_CHECKING" in ast.unparse(test) or "__name__" in ast.unparse(test)
            case ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")]):
                return True
            case ast.FunctionDef():
                return node.name == "__repr__" or any(
                    "overload" in ast.unparse(d) for d in node.decorator_list
                )
            case ast.Raise(exc=exc):
                return exc is not None and "NotImplementedError" in ast.unparse(exc)
            case ast.Expr(value=ast.Constant()):
                return True
        return False

    def _visit_definition(self, node: Function | ast.ClassDef) -> None:
        self._names.append(node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)
        if isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                self.visit(keyword)
        else:
            self._defaults(node.args)
        self._inside += isinstance(node, Function)
        for statement in node.body:
            self.visit(statement)
        self._inside -= isinstance(node, Function)
        self._names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_definition(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_definition(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        self.visit(node.body)

    def _defaults(self, arguments: ast.arguments) -> None:
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is None:
                continue
            before = len(self.found)
            self.visit(default)
            if len(self.found) == before and not _is(default, None):
                self._replace(default, ast.Constant(None))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            if not isinstance(node.target, ast.Name):
                self._instead(node, "pass")
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(isinstance(target, ast.Name) for target in node.targets):
            self._instead(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._instead(node, "pass")
        if type(node.op) in ARITHMETIC:
            other = ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
            self._instead(node, ast.unparse(other))
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._instead(node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._instead(node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._instead(node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not _is(node.value, None):
            self._replace(node.value, ast.Constant(None))
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._instead(node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._instead(node, "pass")

    def visit_With(self, node: ast.With) -> None:
        if all(item.optional_vars is None for item in node.items):
            start, end = self._span(node)[0], self._span(node.items[-1].context_expr)[1]
            self._add((start, end), "if True", node.items[-1].context_expr.end_lineno)
        self.generic_visit(node)

    # Conditions.

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        self._replace(node.test, ast.Constant(True), ast.Constant(False))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit_If(node)

    def visit_While(self, node: ast.While) -> None:
        if not _is(node.test, True):
            self._replace(node.test, ast.Constant(False))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._replace(test, ast.Constant(True), ast.Constant(False))
        self.generic_visit(node)

    # Expressions.

    def visit_Compare(self, node: ast.Compare) -> None:
        for k, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                operators = [*node.ops[:k], other(), *node.ops[k + 1 :]]
                self._replace(node, ast.Compare(node.left, operators, node.comparators))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._replace(node, ast.BoolOp(LOGIC[type(node.op)](), node.values))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC:
            self._replace(node, ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self._replace(node, node.operand)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        outer = self._row
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and node.lineno != node.end_lineno:
                self._row = self._span(key)[0], self._span(value)[1]
            self.visit(value)
            self._row = outer

    def visit_Constant(self, node: ast.Constant) -> None:
        match node.value:
            case bool(value):
                self._replace(node, ast.Constant(not value))
            case int(value):
                self._replace(
                    node, *[ast.Constant(x) for x in ([1 - value] if value in (0, 1) else [value + 1])]
                )
            case float(value):
                self._replace(node, ast.Constant(1.0 - value if value in (0.0, 1.0) else value + 1.0))

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in ("lower", "upper", "step"):
            if getattr(node, bound) is not None:
                kept = {name: getattr(node, name) for name in ("lower", "upper", "step") if name != bound}
                self._add(self._span(node), ast.unparse(ast.Slice(**kept)), node.end_lineno)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in TEXTS or name.endswith(("Error", "Warning")):
            return
        first = node.args[:2]
        plain = len(first) == 2 and not any(isinstance(x, ast.Starred) for x in first)
        plain = plain and name not in SYMMETRIC
        if plain and ast.dump(first[0]) != ast.dump(first[1]):
            self._replace(node, ast.Call(node.func, [*first[::-1], *node.args[2:]], node.keywords))
        if name == "copy" and not node.args and isinstance(node.func, ast.Attribute):
            self._replace(node, node.func.value)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts; and before Python 3.12 nobody knows where the parts of one are."""

    def visit_keyword(self, node: ast.keyword) -> None:
        # Attributes in slots are only smaller.
        if node.arg != "slots":
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """Names and annotations."""


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
