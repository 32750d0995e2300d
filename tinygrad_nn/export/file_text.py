"""The text of an exported file: helpers, one function, and at the end the arrays that it reads."""

from __future__ import annotations

import base64
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from types import FunctionType

import numpy as np

from tinygrad_nn.errors import ExportError
from tinygrad_nn.export import plain, plain_updates
from tinygrad_nn.export.expressions import Text
from tinygrad_nn.export.lines import Given, Line, Lines, Source, gradients, is_affine, is_literal, settle
from tinygrad_nn.export.naming import Names
from tinygrad_nn.export.rates import rates
from tinygrad_nn.export.rules import RULES
from tinygrad_nn.export.spellings import SPELLINGS, is_view
from tinygrad_nn.export.updates import REBINDING, UPDATES
from tinygrad_nn.export.wording import Wording, number, setting
from tinygrad_nn.graph.ir import Call, title
from tinygrad_nn.primitives import Array, Shape
from tinygrad_nn.primitives.primitive import primitive_of

_WIDTH = 100
_SMALL = 48
"""So many elements are written out as numbers."""

_HELPERS: dict[str, Callable[..., object]] = {
    name: function
    for module in (plain, plain_updates)
    for name, function in vars(module).items()
    if isinstance(function, FunctionType)
}
_RESERVED = ("np", "math", "base64", "n", "g", "forward", "step", *_HELPERS)

_PHASES = {
    "forward": "Forward again, with what has changed.",
    "backward": "Backward: d_name says how the loss changes with name, from the last value to the first.\n"
    "# In the rules, g is the gradient of a result y, which was made of x, or of a and b.",
    "update": "Update: each parameter moves against its gradient.",
}


Part = tuple[str, str]
"""A module, and a line of it."""


class FileText:
    """One file: its lines, what they are called, and what they need."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.claims = gradients(lines)
        settle(lines.lines, lines.outputs, {*self.claims, *filter(is_affine, lines.lines)}, is_view)
        self.rates = rates(lines)
        own = [name for rate in self.rates for name in (rate.steps, rate.rate, rate.function)]
        self.names = Names(lines, self.claims, [*_RESERVED, *own])
        self.labels = lines.graph.labels()
        self.used: dict[Callable[..., object], None] = {}
        self.texts: dict[Source, Text] = {}
        self.needed: dict[Given, None] = {}
        self.generators: dict[int, tuple[str, np.random.Generator]] = {}
        self.body: list[str] = []
        self.statements: dict[Line, str] = {}
        self.changes = any(line.op in UPDATES for line in lines.lines)
        self._phase, self._end = "forward", ""
        self._part: Part = "", ""

    def text(self) -> str:
        """Return the file."""
        trains = any(line.call.phase != "forward" for line in self.lines.lines)
        self._end = "The loss" if trains else ""
        waiting = list(self.rates)
        for line in self.lines.lines:
            while waiting and line.call.index >= waiting[0].due:
                self._begin("update", ("", ""))
                self.body += waiting.pop(0).lines()
            self._write(line)
        results = [self._source(x).text for x in self.lines.outputs]
        self.body += ["", f"return {', '.join(results)}"] if results else []
        function = self._function("step" if trains else "forward")
        data = self._data()
        helpers = [inspect.getsource(helper).rstrip() for helper in _with_those_that_they_call(self.used)]
        schedules = [text for rate in self.rates if (text := rate.schedule())]
        whole = "\n\n\n".join([*helpers, *schedules, function, *(["\n".join(data)] if data else [])])
        standard = [f"import {module}\n" for module in ("base64", "math") if f"{module}." in whole]
        imports = "".join([*standard, "\n" if standard else "", "import numpy as np"])
        what = "One step of training" if self.changes else f"What {self.lines.title} computes"
        return f'"""{what}, in NumPy alone. Written by tinygrad_nn."""\n\n{imports}\n\n\n{whole}\n'

    def _function(self, name: str) -> str:
        inputs = [self.names[self.lines.sources[k]] for k in self.lines.graph.inputs]
        counted = ", ".join(rate.steps for rate in self.rates if rate.counts)
        code = "\n".join(line for line in self.body if not line.startswith("#"))
        head = [self._about(name, inputs)]
        head += [f"global {counted}"] if counted else []
        head += [f"n = len({inputs[0]})"] if re.search(r"\bn\b", code) else []
        head += [""] if len(head) > 1 else []
        body = [textwrap.indent(line, "    ") for line in [*head, *self.body]]
        return "\n".join([f"def {name}({', '.join(inputs)}):", *body])

    def _about(self, name: str, inputs: list[str]) -> str:
        """Return the docstring of the function, with the shapes of what it takes."""
        given = [self.lines.sources[k] for k in self.lines.graph.inputs]
        shapes = [f"{x} {setting(v.shape)} {v.dtype}" for x, v in zip(inputs, given, strict=True)]
        what = "Change the arrays below by one step of training; return the loss."
        what = what if self.changes else "Return what the function computes; gradients are written out."
        return (
            f'"""{what if name == "step" else "Return what the model computes."}\n\n{"; ".join(shapes)}.\n"""'
        )

    # Lines

    def _source(self, source: Source) -> Text:
        """Return how a value is written where it is used."""
        if source in self.texts:
            return self.texts[source]
        if isinstance(source, Line):
            return Text(self.names[source])
        for rate in self.rates:
            if text := rate.text(source):
                return text
        if is_literal(source):
            return number(source.data)
        if source.value.kind != "input":
            self.needed[source] = None
        return Text(self.names[source])

    def _write(self, line: Line) -> None:
        """Add a line to the body, or keep it for where it is used."""
        table = UPDATES if line.op in UPDATES else REBINDING if line.op in REBINDING else SPELLINGS
        words = Wording(line, self._source, self.used, self.labels, self._generator(line))
        if line.op not in table:
            raise words.refused("has no spelling in NumPy")
        text = table[line.op](words)
        if line.inline:
            self.texts[line] = text
            return
        self._begin(self._phase_of(line), self._part_of(line))
        statement = text.text if table is UPDATES else f"{self.names[line]} = {text.text}"
        self.statements[line] = statement
        self.body += [*self._comment(line), _wrapped(statement)]

    def _generator(self, line: Line) -> str:
        rng = line.params.get("rng")
        if not isinstance(rng, np.random.Generator):
            return ""
        return self.generators.setdefault(id(rng), (self.names.free("rng"), rng))[0]

    # Comments

    def _begin(self, phase: str, part: Part) -> None:
        """Say which phase and which part begin, if they do."""
        if phase != self._phase and (phase != "update" or self.changes):
            self.body += ["", f"# {_PHASES[phase]}"]
        if part != self._part and (any(part) or phase == "forward"):
            self.body += [*([""] if self.body else []), *self._shown(*part)]
        self._phase, self._part = phase, part

    def _shown(self, module: str, said: str) -> list[str]:
        """Return the comment at the head of a part; a module is not named twice in a row."""
        short = textwrap.shorten(said, _WIDTH)
        if not module or (said and module == self._part[0]):
            return [f"# {short}"] if said else []
        if len(module) + len(short) > _WIDTH:
            return [f"# {module}:", f"# {short}"]
        return [f"# {module}: {short}" if said else f"# {module}"]

    def _phase_of(self, line: Line) -> str:
        """Return the phase; averages that a layer keeps are part of its forward pass."""
        return "forward" if line.op in UPDATES and line.op.operand_names[0] != "parameter" else line.phase

    def _part_of(self, line: Line) -> Part:
        """Return the module that a line belongs to; or through which, and which line of it, a gradient goes back."""
        call = line.call
        if line.phase == "update":
            return self._part if self._phase_of(line) == "forward" else ("", "")
        if call.of is None:
            return _module(call) or self._end, ""
        of = self.lines.graph.values[call.of]
        assert isinstance(of, Call)
        whole = self.lines.sources.get(of.index)
        while isinstance(whole, Line) and whole.inline and whole.users:
            whole = whole.users[0]
        said = self.statements.get(whole, "") if isinstance(whole, Line) else ""
        return f"Back through {_module(of)}" if _module(of) else "Back from the result", said

    def _comment(self, line: Line) -> list[str]:
        """Return the rule by which a gradient is computed."""
        claim = self.claims.get(line)
        if claim is None:
            return []
        op = claim.call.op
        rules = RULES.get(op, ("",) * len(op.rules))
        rule = rules[0 if op.variadic else claim.place]
        if op.broadcasts and not op.variadic and _is_stretched(line.call.shape, claim.call.shape):
            rule += ", summed over what was broadcast"
        elif line.op is _ADD and any(x in self.claims for x in line.operands):
            rule += ", added to what the other uses give"
        return [f"# gradient of {op.name}: {rule.removeprefix(', ')}" if rule else f"# gradient of {op.name}"]

    # Arrays

    def _data(self) -> list[str]:
        """Return the arrays that the function reads, and its generators, as statements."""
        rows = [f"{rate.steps} = {int(rate.optimizer.steps)}" for rate in self.rates if rate.counts]
        for given in self.needed:
            array = np.asarray(given.value.data)
            rows.append(_wrapped(f"{self.names[given]} = {self._array(array)}"))
        rows += [line for name, rng in self.generators.values() for line in _generator(name, rng)]
        return ["# The arrays that are read above", "", *rows] if rows else []

    def _array(self, array: Array) -> str:
        kind = f"np.{array.dtype.name}"
        if array.size and not array.any():
            return f"np.zeros({array.shape}, {kind})"
        if array.size <= _SMALL and np.isfinite(array).all():
            return f"np.array({_rows(array)}, {kind})"
        self.used[plain.unpacked] = None
        text = base64.b64encode(array.tobytes()).decode()
        pieces = "\n".join(textwrap.wrap(text, _WIDTH)) if len(text) > _WIDTH else text
        return f'unpacked({kind}, {array.shape}, """\n{pieces}\n""")'


_ADD = primitive_of(np.add)


def _is_stretched(shape: Shape, full: Shape) -> bool:
    """Tell whether broadcasting makes one shape the other."""
    short = len(shape) <= len(full) and shape != full
    return short and all(n in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False))


def _rows(array: Array) -> str:
    """Return the elements with as many digits as tell them apart, each row of a matrix in a line of its own."""
    if array.ndim == 2 and len(array) > 1:
        return "[\n" + "".join(f"    {_rows(row)},\n" for row in array) + "]"
    return f"[{', '.join(map(_rows, array))}]" if array.ndim else str(array[()])


def _generator(name: str, rng: np.random.Generator) -> list[str]:
    """Return the statements that make a generator, in the state in which it is."""
    bits = rng.bit_generator
    kind = type(bits).__name__
    if getattr(np.random, kind, None) is not type(bits) or any(
        isinstance(x, np.ndarray) for x in dict(bits.state["state"]).values()
    ):
        raise ExportError(
            f"export.numpy: the state of a {kind} cannot be written out\n  hint   np.random.default_rng(0)"
        )
    return [
        f"{name} = np.random.Generator(np.random.{kind}())",
        f"{name}.bit_generator.state = {bits.state!r}",
    ]


def _module(call: Call) -> str:
    """Return the path of the module in which an op ran, without the outermost one."""
    if call.scope is None:
        return ""
    chain = call.scope.chain()
    return " / ".join(map(title, chain[1:] or chain))


def _wrapped(statement: str) -> str:
    """Return a statement in lines of bearable length."""
    if max(map(len, statement.splitlines())) <= _WIDTH or '"""' in statement:
        return statement
    head, _, rest = statement.partition("(")
    parts = _arguments(rest.removesuffix(")")) if rest.endswith(")") else []
    if not parts:
        return statement
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > _WIDTH - 8:
            lines.append("")
        lines[-1] += f" {part}," if lines[-1] else f"{part},"
    return "\n".join([f"{head}(", *[f"    {line}" for line in lines], ")"])


def _arguments(text: str) -> list[str]:
    """Return what stands between the brackets of a call, argument by argument; nothing if it is no single call."""
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return []
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _with_those_that_they_call(helpers: Iterable[Callable[..., object]]) -> list[Callable[..., object]]:
    """Return helpers in the order in which they stand, with those that they need."""
    needed: set[str] = set()

    def add(name: str) -> None:
        if name in _HELPERS and name not in needed:
            needed.add(name)
            code = inspect.unwrap(_HELPERS[name]).__code__
            for other in re.findall(r"\w+", inspect.getsource(code)):
                add(other)

    for helper in helpers:
        add(helper.__name__)
    return [function for name, function in _HELPERS.items() if name in needed]
