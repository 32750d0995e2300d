"""Who may import whom. The rooms are listed from the ground up; an import that is not listed points upwards.

Every import is read: at the top of a file, inside of a function, and under TYPE_CHECKING.
"""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.budget import code_lines

PACKAGE = Path(__file__).parents[1] / "tinygrad_nn"

GROUND = ("errors", "context", "hints", "files", "states", "settings", "languages")
"""Rooms that everyone may import, and that import nothing of ours but errors."""

BUILT_ON = {
    "primitives": set(),
    "ops": {"primitives"},
    "engine": {"primitives", "ops"},
    "graph": {"primitives", "ops", "engine"},
    "parallel": {"primitives"},
    "optim": {"primitives", "engine", "parallel"},
    # The compiler's row for an update is keyed by the kernel that the optimizers run.
    "compiler": {"primitives", "ops", "engine", "graph", "optim"},
    "nn": {"primitives", "ops", "engine"},
    "viz": {"primitives", "engine", "graph", "nn"},
    "data": {"parallel"},
    "checkpoint": {"primitives", "engine", "nn"},
    "interop": {"primitives", "ops", "engine", "nn"},
    # The file of a step has a row for each update too, keyed by the kernel that the optimizers run.
    "export": {"primitives", "ops", "engine", "graph", "optim", "nn"},
    "plot": {"primitives", "engine", "nn"},
    # Films have the colours of pictures; they and the doctor put random generators back where they found them.
    "train": {
        "primitives",
        "engine",
        "graph",
        "nn",
        "parallel",
        "optim",
        "data",
        "compiler",
        "checkpoint",
        "viz",
        "plot",
    },
    "sklearn": {"primitives", "ops", "nn", "optim", "data", "train"},
    "testing": {"primitives", "engine", "nn", "viz", "plot"},
}
"""Each room, a file or a folder at the top of the package, and what it is built on besides the ground."""

WITHOUT_TENSORS = {
    "primitives",
    "ops",
    "graph.ir",
    "data",
    "optim",
    "files",
    "states",
    "settings",
    "languages",
}
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


def allowed(name):
    """Return the rooms that a room may import from, itself among them."""
    return {"errors", name} if name in GROUND else {*GROUND, *BUILT_ON[name], name}


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_from_the_rooms_it_is_built_on(name):
    own = room(name)
    assert own in GROUND or own in BUILT_ON, f"{own} is a new room: say in BUILT_ON what it is built on"
    wrong = sorted(target for target in set(imports(FILES[name])) if room(target) not in allowed(own))
    assert not wrong, f"{name} may import {sorted(allowed(own))}, not {wrong}"


def test_every_room_uses_what_it_is_said_to_be_built_on():
    used = {own: set() for own in BUILT_ON}
    for name, path in FILES.items():
        if room(name) in used:
            used[room(name)] |= {room(target) for target in imports(path)} - {room(name), *GROUND}
    assert used == BUILT_ON


def test_the_rooms_stand_on_each_other_without_a_circle():
    list(TopologicalSorter(BUILT_ON).static_order())


def test_the_map_in_the_docs_says_the_same():
    page = (PACKAGE.parent / "docs" / "house.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    said = {own: set(re.findall(r"`(\w+)`", rooms)) for own, rooms in rows}
    assert said == BUILT_ON | {own: set() for own in GROUND}


def test_no_files_import_each_other_in_a_circle():
    edges = {name: set(imports(path)) & set(FILES) - {name} for name, path in FILES.items()}
    # A package's face gathers what is inside; its files import each other, never the face.
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(reversed(circle.args[1])))


@pytest.mark.parametrize("place", sorted(WITHOUT_TENSORS))
def test_rules_and_arrays_never_name_the_tensor(place):
    files = [name for name in FILES if f"{name}.".startswith(f"{place}.")]
    assert files, f"there is no {place}"
    for name in files:
        assert not {"engine.tensor", "engine.operators"} & set(imports(FILES[name])), name


def test_importing_the_package_loads_numpy_and_no_other_package():
    code = (
        "import sys, numpy.random\n"
        "before = {name.split('.')[0] for name in sys.modules}\n"
        "import tinygrad_nn\n"
        "loaded = {name.split('.')[0] for name in sys.modules} - before - sys.stdlib_module_names\n"
        "print(*sorted(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tinygrad_nn"]


def test_a_source_file_has_at_most_300_lines_of_code():
    assert {name: n for name, path in FILES.items() if (n := code_lines(path)) > 300} == {}
