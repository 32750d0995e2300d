"""A small computation as a program for the page's script: change what it was given, and values and gradients follow.

The program is data. Each op of the graph is one or some instructions: a function of each element, of groups of
elements, of rows, a product of matrices, or elements picked in another order. Which elements belong together is said
by indices, so that the script knows nothing of shapes. Its words are in `words.js`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinygrad_nn.errors import printable
from tinygrad_nn.graph.ir import Call, Data, Graph, Value
from tinygrad_nn.languages import Language, Phrases
from tinygrad_nn.primitives import Array, Shape
from tinygrad_nn.viz.facts import Facts

PHRASES: Phrases = {
    "what if": {"en": "What if", "ja": "値を変えると"},
    "put back": {"en": "Put back", "ja": "元に戻す"},
    "changed": {"en": "What if: {names}", "ja": "変更中:{names}"},
    "captured": {
        "en": "Values and gradients follow in the whole graph, and formulas with their results; numbers stand in "
        "formulas again when all is put back.",
        "ja": "グラフ全体の値と勾配、式の結果が変わります。式の途中の数値は、元に戻すとまた表示されます。",
    },
    "missing": {
        "en": "Nothing can be changed here: the page has no word for {names}.",
        "ja": "値は変えられません:このページは {names} を計算できません。",
    },
}
"""What the script says."""

# Of a value whose numbers can be changed.
_MOVABLE = 24

Instruction = dict[str, object]
"""A word, `x` which of the values so far it takes, and what its kind needs besides."""

_MAPS = (
    "negative absolute fabs square sqrt cbrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos "
    "arctan sinh cosh tanh arcsinh arccosh arctanh sigmoid log_sigmoid relu softplus silu gelu_exact gelu_tanh erf "
    "leaky_relu elu sign floor ceil add subtract multiply product divide quotient power maximum minimum hypot arctan2 "
    "logaddexp xlogy binary_cross_entropy_elements huber_elements where clip greater greater_equal less less_equal "
    "equal not_equal"
)
MAPS = frozenset(_MAPS.split())
"""Functions of each element, and of pairs that broadcast."""
FOLDS = frozenset(("sum", "mean", "max", "min", "prod", "logsumexp", "var", "std", "euclidean_norm"))
"""Functions of the elements along axes."""
ROWS = frozenset(("softmax", "log_softmax"))
_PICKS = "reshape transpose getitem squeeze expand_dims concatenate stack swapaxes flip broadcast_to diagonal astype"
PICKS = frozenset(_PICKS.split())
"""What puts elements elsewhere."""
_OPTIONS = {"leaky_relu": ("negative_slope", 0.01), "elu": ("alpha", 1.0), "huber_elements": ("delta", 1.0)}


def program(graph: Graph, facts: Facts, lang: Language = "en") -> dict[str, object] | None:
    """Return a graph as a program, or what it has no words for; None where it is too large, or was never computed."""
    if facts.arrays is None:
        return None
    words = {key: texts[lang] for key, texts in PHRASES.items()}
    compiler = _Compiler(graph, facts.arrays)
    calls = [compiler.call(call) for call in graph.ops]
    if compiler.missing:
        return {"words": words, "missing": list(dict.fromkeys(compiler.missing))}
    for step in facts.steps:
        if step.arrivals:
            calls[compiler.number_of[step.index]]["to"] = _positions(
                graph.values[step.index], [arrival.operand for arrival in step.arrivals]
            )
    leaves = {
        value.index: np.ravel(np.asarray(facts.arrays[value.index])).astype(np.float64).tolist()
        for value in graph.values
        if not isinstance(value, Call)
    }
    movable = [k for k, numbers in leaves.items() if _is_movable(graph.values[k], len(numbers))]
    captions = [step.open_caption(lang) if step.arrivals else "" for step in facts.steps]
    told = {"words": words, "captions": captions}
    return told | {"leaves": leaves, "movable": movable, "calls": calls, "output": graph.outputs[0]}


def _is_movable(value: Value, size: int) -> bool:
    return value.dtype.kind == "f" and 0 < size <= _MOVABLE


def _positions(value: Value, operands: Sequence[int]) -> list[int]:
    """Return at which of its operands a call handed on the gradients that arrived at these values, in order."""
    assert isinstance(value, Call)
    places: list[int] = []
    for operand in operands:
        places.append(value.operands.index(operand, places[-1] + 1 if places else 0))
    return places


class _Compiler:
    def __init__(self, graph: Graph, arrays: Sequence[Data | None]) -> None:
        self.graph, self.arrays = graph, arrays
        self.missing: list[str] = []
        self.number_of = {call.index: k for k, call in enumerate(graph.ops)}

    def call(self, call: Call) -> dict[str, object]:
        """Return a call of an op in the words of the script."""
        instructions = self._instructions(call)
        if not instructions:
            self.missing.append(printable(call.op.name))
        return {"value": call.index, "in": list(call.operands), "do": instructions}

    def _instructions(self, call: Call) -> list[Instruction]:
        """Return the instructions of a call; none where there are no words for it."""
        name, shapes = call.op.name, [self.graph.values[k].shape for k in call.operands]
        if name in MAPS:
            return _map(call, shapes)
        if name in FOLDS or name in ROWS:
            return _along(name, call, shapes[0])
        if name in PICKS:
            return self._pick(call, shapes)
        if name == "matmul":
            return _matmul(*shapes)
        if name in ("cross_entropy", "nll"):
            return self._labelled(call, shapes[0])
        return []

    def _pick(self, call: Call, shapes: list[Shape]) -> list[Instruction]:
        """Return where each element of the result comes from, which the op itself tells of numbered elements."""
        if call.op.name == "astype":
            return [_instruction("pick", [0])] if call.dtype.kind == "f" else []
        # The other operands of an index are arrays of numbers of elements.
        count = 1 if call.op.name == "getitem" else len(shapes)
        starts = np.cumsum([0, *(math.prod(shape) for shape in shapes[:count])])
        numbered: list[Data | None] = [
            np.arange(start, start + math.prod(shape)).reshape(shape)
            for start, shape in zip(starts, shapes[:count], strict=False)
        ]
        others = [self.arrays[k] for k in call.operands[count:]]
        picked = np.asarray(call.op.function(*numbered, *others, **call.params))
        return [_instruction("pick", list(range(count)), i=picked.ravel().tolist())]

    def _labelled(self, call: Call, shape: Shape) -> list[Instruction]:
        """Return losses of rows of scores and labels: minus the score, or its logarithm, at the label."""
        labels = np.asarray(self.arrays[call.operands[1]]).astype(int)
        places = (np.arange(shape[0]) * shape[1] + labels).tolist()
        if call.op.name == "nll":
            return [_instruction("pick", [0], i=places), _instruction("negative", [2], n=shape[0])]
        steps = [
            _instruction("log_softmax", [0], n=shape[1]),
            _instruction("pick", [2], i=places),
            _instruction("negative", [3], n=shape[0]),
        ]
        reduction = str(call.params.get("reduction", "mean"))
        return steps if reduction == "none" else [*steps, _instruction(reduction, [4], n=shape[0])]


def _instruction(word: str, x: list[int], **more: object) -> Instruction:
    return {"w": word, "x": x, **more}


def _map(call: Call, shapes: list[Shape]) -> list[Instruction]:
    name, params = call.op.name, dict(call.params)
    more: Instruction = {}
    if name in _OPTIONS:
        option, otherwise = _OPTIONS[name]
        more["p"] = params.pop(option, otherwise)
    if params:
        return []
    spread = [_spread(shape, call.shape) for shape in shapes]
    if any(indices is not None for indices in spread):
        more["i"] = spread
    return [_instruction(name, list(range(len(shapes))), n=math.prod(call.shape), **more)]


def _spread(shape: Shape, full: Shape) -> list[int] | None:
    """Return which element of an operand stands at each element of the result; None where they are the same."""
    if shape == full:
        return None
    places: Array = np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), full)
    return places.ravel().tolist()


def _along(name: str, call: Call, shape: Shape) -> list[Instruction]:
    """Return a function of the elements along axes: what belongs together, group after group, and how many."""
    params = {key: value for key, value in call.params.items() if key not in ("axis", "keepdims")}
    if params:
        return []
    axis = call.params.get("axis", -1 if name in ROWS else None)
    axes = range(len(shape)) if axis is None else np.atleast_1d(axis).tolist()
    chosen = sorted(k % len(shape) for k in axes) if shape else []
    numbered = np.arange(math.prod(shape)).reshape(shape)
    order = np.moveaxis(numbered, chosen, range(len(shape) - len(chosen), len(shape))).ravel()
    more = {} if (order == numbered.ravel()).all() else {"i": order.tolist()}
    return [_instruction(name, [0], n=math.prod(shape[k] for k in chosen), **more)]


def _matmul(left: Shape, right: Shape) -> list[Instruction]:
    if len(left) > 2 or len(right) > 2:
        return []
    rows = left[0] if len(left) == 2 else 1
    columns = right[1] if len(right) == 2 else 1
    return [_instruction("matmul", [0, 1], n=[rows, right[0], columns])]
