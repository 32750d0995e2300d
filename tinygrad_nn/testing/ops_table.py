"""The table of all ops, made from the registry: `python -m tinygrad_nn.testing.ops_table > docs/ops.md`."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np

from tinygrad_nn.primitives import REGISTRY, Primitive, Record
from tinygrad_nn.viz.mathematics import formula_of
from tinygrad_nn.viz.notation import Notation
from tinygrad_nn.viz.sources import source

_HEAD = """# The ops

Made from the registry by `python -m tinygrad_nn.testing.ops_table`; a test compares. A rule names what it is given:
`g` the cotangent of the result, `y` the result, `x` (or `a`, `b`, ...) the operands, after the star the parameters.
Before it stands what it computes as mathematics, which the tests compare with the rule.
"""


def ops_table(public: Mapping[str, object]) -> str:
    """Return docs/ops.md: every op with how it is reached and the rule of each operand.

    Args:
        public: what the package calls by which name, `vars(tinygrad_nn)`.
    """
    records = sorted(dict.fromkeys(REGISTRY.values()), key=lambda record: record.name)
    primitives = [record for record in records if isinstance(record, Primitive) and not record.writes]
    derived = [record for record in primitives if record.differentiable and not record.made_of_others]
    lines = [
        _HEAD,
        f"## {len(derived)} ops with rules",
        "",
        "| op | reached as | derivatives | rules |",
        "|---|---|---|---|",
    ]
    lines += [f"| {op.name} | {_reached(op, public)} | {_derivatives(op)} | {_rules(op)} |" for op in derived]
    composites = [record for record in records if record.made_of_others]
    lines += ["", f"## {len(composites)} functions made of other ops", ""]
    lines += ["| function | reached as |", "|---|---|"]
    lines += [f"| {record.name} | {_reached(record, public)} |" for record in composites]
    constant = ", ".join(f"`{op.name}`" for op in primitives if not op.differentiable)
    return "\n".join(
        [*lines, "", "## Without gradient", "", f"Results of these do not require grad: {constant}.", ""]
    )


def _reached(record: Record, public: Mapping[str, object]) -> str:
    operands = ", ".join(record.operand_names) if isinstance(record, Primitive) else "t"
    keys = [key for key, value in REGISTRY.items() if value is record]
    ways = [f"{_name_elsewhere(key)}({operands})" for key in keys if _name_elsewhere(key)]
    if public.get(record.name) in (record, record.key):
        ways.append(f"tn.{record.name}({operands})")
    if record.method:
        ways.append(f"t.{record.name}()")
    return ", ".join(f"`{way}`" for way in dict.fromkeys(ways)) or "inside of other ops"


def _name_elsewhere(key: object) -> str:
    """Return how code calls NumPy's or SciPy's function for an op."""
    if isinstance(key, str):
        return key.replace("numpy", "np", 1) if "." in key and key.startswith(("numpy.", "scipy.")) else ""
    name = getattr(key, "__name__", "")
    if isinstance(owner := getattr(key, "__self__", None), np.ufunc):
        return f"{_name_elsewhere(owner)}.{name}"
    for module in (np, np.linalg):
        if name and getattr(module, name, None) is key:
            return f"{module.__name__.replace('numpy', 'np')}.{name}"
    return ""


def _derivatives(op: Primitive) -> str:
    """Return what the rules of an op compute as mathematics; nothing for one that is code."""
    written = []
    for place in range(len(op.rules)):
        if op.rules[place] is not None:
            formula = formula_of(op, place)
            text = formula.text if formula.words else ""
            if formula.tree is not None:
                letters = {node.id: node.id for node in ast.walk(formula.tree) if isinstance(node, ast.Name)}
                with suppress(LookupError):
                    text = Notation(letters, "en").write(formula.tree)
            written.append(re.sub(r"([|*_<\[\]])", r"\\\1", text) or "as the rule says")
    return "<br>".join(dict.fromkeys(written))


def _rules(op: Primitive) -> str:
    lines = [f"`{_one_line(rule.function)}`".replace("|", "\\|") for rule in op.rules if rule is not None]
    return "<br>".join(dict.fromkeys(lines))


def _one_line(function: Callable[..., object]) -> str:
    """Return a rule's source in one line; of a named function its name and parameters."""
    name = getattr(function, "__name__", "")
    if name != "<lambda>":
        signature = inspect.signature(function)
        parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        return f"{name}{signature.replace(parameters=parameters, return_annotation=signature.empty)}"
    return re.sub(r"\s+", " ", source(function)[0]).strip()


if __name__ == "__main__":
    # The package is built on its rooms, not they on it; only this script looks at both.
    print(ops_table(vars(importlib.import_module("tinygrad_nn"))), end="")
