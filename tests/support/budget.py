"""How much there is of each part of the package, against what it may be: `python -m tests.support.budget`.

A budget is raised in the commit that needs it, with the reason beside it.
"""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "tinygrad_nn"

LINES = {
    # 1,700 was meant. The options of op, kernel and composite are written out with their types (130 lines more than
    # as **options) and looked at when an op is declared (30), the hooks of watchers are typed (50), a walk over
    # containers serves everyone (30), and traced code has leaves of its own (30).
    "primitives engine": 2060,
    # 1,700 was meant. Signatures of kernels and composites say types, for which a third of them need a line each; and
    # what was found from outside is mended here.
    "ops": 1830,
    # 500 was meant. Random generators that a function can reach are found and put back (90).
    "graph": 600,
    "compiler": 1900,
    "viz": 1300,
    "nn": 700,
    "optim": 350,
    "data": 600,
    "train": 700,
    "testing": 2200,
    # 850 was meant. Locks that a fork waits for (20); blocks that an interrupt does not leave half-way (15).
    "errors context hints files states checkpoint plot": 885,
}
"""Lines of code: neither blank, nor a comment, nor part of a docstring."""

ANY = 450
"""Uses of `Any` in the whole package."""

IGNORES = 20
"""Lines that a type checker is told to ignore, each with its reason."""

IGNORED = re.compile(r"# (?:type|pyright): ignore.*")
"""The rest of the line too: one that names both checkers is one line."""


def part_of(path):
    """Return the part that a file of the package belongs to; None for the public face."""
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return next((part for part in LINES if room in part.split()), None)


def code_lines(path):
    """Count the lines of code of a file."""
    source = path.read_text(encoding="utf-8")
    prose = set()
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node) is not None:
            prose.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and k not in prose for k, line in lines
    )


def measure():
    """Return code lines, uses of Any and ignored lines of every part; of stubs, which run nothing, the last two."""
    table = {part: [0, 0, 0] for part in LINES}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]):
        part = part_of(path)
        if part is not None:
            text = path.read_text(encoding="utf-8")
            lines = code_lines(path) if path.suffix == ".py" else 0
            counts = lines, len(re.findall(r"\bAny\b", text)), len(IGNORED.findall(text))
            table[part] = [a + b for a, b in zip(table[part], counts, strict=True)]
    return table


def rows():
    """Yield the table as text."""
    yield f"{'part':<52} {'lines':>6} {'budget':>6} {'Any':>5} {'ignored':>7}"
    table = measure()
    for part, (lines, uses, ignored) in table.items():
        yield f"{part:<52} {lines:>6,} {LINES[part]:>6,} {uses:>5,} {ignored:>7}"
    totals = [sum(column) for column in zip(*table.values(), strict=True)]
    yield f"{'all':<52} {totals[0]:>6,} {'':>6} {totals[1]:>5,} {totals[2]:>7}"
    yield f"{'at most':<52} {'':>6} {'':>6} {ANY:>5,} {IGNORES:>7}"


if __name__ == "__main__":
    print("\n".join(rows()))
