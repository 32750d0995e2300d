"""How the site is built: `python -m sphinx -W docs site` (extra `docs`), without a network."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path

from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.util.docutils import nodes
from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent
_PLAIN = re.compile(r"`[^`]*`|[*|]|_(?=\W|$)")
"""What is to be left as it is: all between backticks, stars, bars, and the last underscore of a name."""

project = "tinygrad_nn"
author = "the authors of tinygrad_nn"
release = version = version_of("tinygrad_nn")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["inventories", "pictures"]
html_theme = "furo"
html_title = f"tinygrad_nn {release}"
html_math_renderer = "mathml"

# A name in backticks leads to what it names, where that is ours, Python's or NumPy's.
default_role = "name"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

autodoc_member_order = "groupwise"
autodoc_typehints = "none"
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False

# Kept here, so that a build needs no network; `python -m tests.support.inventories` makes them anew.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", str(HERE / "inventories" / "python.inv")),
    "numpy": ("https://numpy.org/doc/stable/", str(HERE / "inventories" / "numpy.inv")),
}

_ROOMS = {path.stem for path in (HERE.parent / "tinygrad_nn").iterdir()}


def _whole_names() -> dict[str, str]:
    """Return what the names in docstrings stand for: those of rooms, and all that is public in one of them."""
    names = {"np": "numpy", "tn": "tinygrad_nn"} | {room: f"tinygrad_nn.{room}" for room in _ROOMS}
    pages = (HERE / "reference").glob("*.md")
    rooms = sorted(
        {page.stem for page in pages if page.stem.split(".")[0] in _ROOMS}, key=lambda room: room.count(".")
    )
    for room in ("errors", "", *rooms):
        module = f"tinygrad_nn.{room}".removesuffix(".")
        for name in import_module(module).__all__:
            # A short word is an argument, more often than not.
            if len(name) > 4 or not name.islower():
                names.setdefault(name, f"{module}.{name}")
    return names


_WHOLE = _whole_names()


def _as_mathml(translator: HTML5Translator, node: nodes.Element, display: str) -> None:
    """Write a formula in MathML, which browsers draw by themselves: no script, no font, no network."""
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


class _Name(XRefRole):
    """What stands in backticks of a docstring: a link, if it is a name that somebody documents."""

    def __init__(self) -> None:
        super().__init__(warn_dangling=False)

    def process_link(
        self, env: BuildEnvironment, refnode: nodes.Element, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        """Return what is shown, and the whole name of what it leads to."""
        refnode["refdomain"], refnode["reftype"] = "py", "obj"
        first, dot, rest = target.partition("(")[0].partition(".")
        if dot or first not in _ROOMS:
            return title, _WHOLE.get(first, first) + dot + rest
        # A single word that is a room's name too, such as data, is an argument there.
        return title, ""


def _signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Return how a method that Tensor has from the registry is called, as its stub says."""
    return (
        (_METHODS[name], None)
        if name in _METHODS and signature == "(*args, **kwargs)"
        else (signature, result)
    )


def _methods() -> dict[str, str]:
    """Return the signatures of Tensor's methods without their types."""
    stub = ast.parse((HERE.parent / "tinygrad_nn" / "engine" / "methods.pyi").read_text(encoding="utf-8"))
    found = {}
    for method in ast.walk(stub):
        if isinstance(method, ast.FunctionDef):
            arguments = method.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                argument.annotation = None
            for rest in filter(None, (arguments.vararg, arguments.kwarg)):
                rest.annotation = None
            words = re.sub(r"^self(, /)?(, |$)", "", ast.unparse(arguments))
            found[f"tinygrad_nn.Tensor.{method.name}"] = f"({words})"
    return found


_METHODS = _methods()


def _with_stars(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let stars and bars of docstrings be themselves: there they multiply, they do not emphasise."""
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else _PLAIN.sub(_escaped, line) for line in lines
    ]


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith("`") else "\\" + found[0]


def setup(app: Sphinx) -> None:
    """Read docstrings as they are written, and let formulas be drawn by the browser."""
    app.add_role("name", _Name())
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _with_stars, priority=100)
    app.add_html_math_renderer(
        "mathml",
        (lambda translator, node: _as_mathml(translator, node, "inline"), None),
        (lambda translator, node: _as_mathml(translator, node, "block"), None),
    )
