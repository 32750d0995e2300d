"""Who may import whom. The rooms are listed from the ground up; an import that is not listed points upwards.

Every import is read: at the top of a file, inside of a function, and under TYPE_CHECKING.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tinygrad_nn"

FACE = ""
"""The package itself with its public names; the table of ops, which documents them, looks at it."""
ENGINE = {"errors", "context", "hints", "primitives", "ops", "engine"}

MAY_IMPORT = {
    "errors": set(),
    "context": {"errors"},
    "hints": {"errors"},
    "files": {"errors"},
    "states": {"errors"},
    "primitives": {"errors", "context", "hints"},
    "ops": {"errors", "primitives"},
    "engine": ENGINE - {"engine"},
    "graph": ENGINE,
    # The compiler's row for an update is keyed by the kernel that the optimizers run.
    "compiler": ENGINE | {"files", "graph", "optim"},
    "optim": ENGINE | {"states"},
    "data": {"errors", "files", "hints"},
    "nn": ENGINE | {"states"},
    "viz": ENGINE | {"graph", "nn"},
    "checkpoint": ENGINE | {"files", "nn"},
    "plot": ENGINE | {"nn"},
    "train": ENGINE | {"checkpoint", "compiler", "data", "nn", "optim", "plot"},
    "testing": ENGINE | {"graph", "compiler", "data", "nn", "optim", "viz", FACE},
}
"""Each room: a file or a folder at the top of the package, and what it is built on."""

WITHOUT_TENSORS = {"primitives", "ops", "graph.ir", "data", "optim", "files", "states"}
"""Rules, arrays and graphs as data never name the tensor."""


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def room(name):
    return name.split(".")[0]


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def imports(path):
    """Yield the module behind every import of ours in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports name the whole path"
            if node.module.split(".")[0] == "tinygrad_nn":
                base = node.module.removeprefix("tinygrad_nn").lstrip(".")
                for alias in node.names:
                    full = f"{base}.{alias.name}".lstrip(".")
                    yield full if full in FILES else base
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "tinygrad_nn":
                    yield alias.name.removeprefix("tinygrad_nn").lstrip(".")


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_from_the_rooms_it_is_built_on(name):
    assert room(name) in MAY_IMPORT, f"{room(name)} is a new room: say in MAY_IMPORT what it is built on"
    allowed = MAY_IMPORT[room(name)] | {room(name)}
    wrong = sorted({target for target in imports(FILES[name]) if room(target) not in allowed})
    assert not wrong, f"{name} may import {sorted(allowed)}, not {wrong}"


def test_the_rooms_stand_on_each_other_without_a_circle():
    assert set(MAY_IMPORT) >= {room(name) for name in FILES}
    list(TopologicalSorter(MAY_IMPORT).static_order())


def test_no_files_import_each_other_in_a_circle():
    edges = {name: set(imports(path)) & set(FILES) - {name} for name, path in FILES.items()}
    # A package's face gathers what is inside; its files import each other, never the face.
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(reversed(circle.args[1])))


def test_rules_and_arrays_never_name_the_tensor():
    for name, path in FILES.items():
        if name in WITHOUT_TENSORS or room(name) in WITHOUT_TENSORS:
            assert not {"engine.tensor", "engine.operators"} & set(imports(path)), name


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

    assert {name: n for name, path in FILES.items() if (n := code_lines(path)) > 300} == {}
