"""Who may import whom: each room of the package, and what it is built on. Anything else is an import upwards."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tinygrad_nn"

ENGINE = {
    "arrays",
    "backward",
    "commit",
    "context",
    "conversions",
    "explain",
    "node",
    "operators",
    "primitive",
    "rule",
    "signature",
    "tensor",
}
GRAPH = {f"graph.{path.stem}" for path in (PACKAGE / "graph").glob("*.py") if path.stem != "__init__"}
COMPILER = {name for name in GRAPH if name.startswith("graph.compile")}
RECORDS = {"graph.capture", "graph.compile", "graph.compile_capture"}  # the only ones that know tensors
PICTURES = GRAPH - COMPILER - RECORDS - {"graph.ir"}

MAY_IMPORT = {
    "errors": set(),
    "context": set(),
    "files": {"errors"},
    "rule": {"errors"},
    "signature": {"errors"},
    "fitting": {"errors"},
    "primitive": {"arrays", "context", "errors", "rule", "signature"},
    "ops": {"errors", "primitive"},
    "arrays": {"errors"},
    "node": {"context", "primitive", "rule"},
    "backward": {"context", "errors", "node", "ops"},
    "commit": {"node"},
    "explain": {"context", "errors", "primitive"},
    "conversions": {"arrays", "context", "errors", "node"},
    "tensor": {"errors", "ops"} | (ENGINE - {"operators"}),
    "operators": {"context", "errors", "explain", "primitive", "rule", "tensor"},
    "autodiff": {"errors"} | ENGINE,
    "debug": {"errors"} | ENGINE,
    "data": {"errors", "files"},
    "optim": {"context", "errors", "fitting", "node", "primitive"},
    "nn.init": set(),
    "nn": {"autodiff", "errors", "fitting", "nn.init", "ops"} | ENGINE,
    "checkpoint": {"errors", "files", "nn", "tensor"},
    "train": {"checkpoint", "context", "conversions", "debug", "errors", "nn", "optim", "tensor"},
    "plot": {"conversions", "errors", "nn", "tensor", "train"},
    "graph.ir": {"context", "errors", "primitive"},
    **dict.fromkeys(
        PICTURES, {"backward", "context", "errors", "graph.ir", "node", "primitive", "rule"} | PICTURES
    ),
    **dict.fromkeys(COMPILER, {"errors", "explain", "graph.ir", "ops", "primitive"} | COMPILER),
    **dict.fromkeys(RECORDS, {"errors", "graph.ir", "nn"} | ENGINE | COMPILER | RECORDS),
    "graph": {"errors", "graph", "nn", "viz"} | ENGINE,
    "viz": {"errors", "graph", "nn"} | ENGINE,
    "testing": {"autodiff", "debug", "errors", "graph", "nn", "ops", "optim"} | ENGINE,
}
"""The most specific room counts: `graph.draw` has its own line, other parts of `graph` share one."""

ONLY_ON_USE = {("train", "plot"), ("graph", "viz"), ("nn", "nn"), ("testing", "testing")}
"""Imports upwards inside of functions, where a method opens a room that not every program needs."""


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def room(name):
    return next((key for key in (name, *[name.rsplit(".", k)[0] for k in (1, 2)]) if key in MAY_IMPORT), name)


def is_module(name):
    path = PACKAGE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def imports(path):
    """Yield (imported module, whether at the top level) for everything of ours that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    types = [n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    tree.body = [node for node in tree.body if node not in types]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tinygrad_nn":
            base = node.module.removeprefix("tinygrad_nn").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield (full if is_module(full) else base), id(node) in top


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_imports_only_from_the_rooms_it_is_built_on(path):
    own = room(module_name(path))
    assert own in MAY_IMPORT, f"{own} is a new room: say in MAY_IMPORT what it is built on"
    wrong = []
    for name, at_top in imports(path):
        target = room(name)
        allowed = target == own or any(
            target == key or target.startswith(f"{key}.") for key in MAY_IMPORT[own]
        )
        if not allowed and (at_top or (own.split(".")[0], target.split(".")[0]) not in ONLY_ON_USE):
            wrong.append(name)
    assert not wrong, f"{own} may import {sorted(MAY_IMPORT[own])}, not {wrong}"


@pytest.mark.parametrize("room_name", ["ops", "data", "optim", "primitive", "backward", "graph.ir"])
def test_rules_and_arrays_never_name_the_tensor(room_name):
    files = [path for path in FILES if room(module_name(path)) == room_name]
    assert files
    for path in files:
        assert not [name for name, _ in imports(path) if room(name) in ("tensor", "operators")], path


def test_importing_the_package_loads_numpy_and_no_other_package():
    code = "import sys, tinygrad_nn; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("matplotlib", "graphviz", "hypothesis", "safetensors", "numba", "sklearn", "pytest"):
        assert f"'{heavy}'" not in loaded, f"{heavy} is imported before anyone asks for it"


def test_a_source_file_has_at_most_300_lines_of_code():
    def code_lines(path):
        source = path.read_text(encoding="utf-8")
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        prose = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, documented) and ast.get_docstring(node) is not None:
                prose.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        lines = enumerate(source.splitlines(), 1)
        return sum(
            bool(line.strip()) and not line.strip().startswith("#") and k not in prose for k, line in lines
        )

    assert {str(p.relative_to(PACKAGE)): n for p in FILES if (n := code_lines(p)) > 300} == {}
