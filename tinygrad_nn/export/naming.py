"""What values are called in an exported file: parameters after their modules, results after what they are."""

from __future__ import annotations

import builtins
import keyword
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tinygrad_nn.context import Scope
from tinygrad_nn.export.lines import Claim, Given, Line, Lines, Source, is_affine, is_rows
from tinygrad_nn.ops import activation, arithmetic, attention, convolution_kernels, indexing, normalisation
from tinygrad_nn.primitives import Primitive
from tinygrad_nn.primitives.primitive import primitive_of

_MODULES = {
    "Dense": "z",
    "Conv1d": "z",
    "Conv2d": "z",
    "Conv3d": "z",
    "MaxPool1d": "pooled",
    "MaxPool2d": "pooled",
    "AvgPool1d": "pooled",
    "AvgPool2d": "pooled",
    "GlobalAvgPool": "pooled",
    "Flatten": "flat",
    "LayerNorm": "norm",
    "RMSNorm": "norm",
    "BatchNorm": "norm",
    "GroupNorm": "norm",
    "Embedding": "embedded",
    "Dropout": "kept",
    **dict.fromkeys(("ReLU", "Tanh", "Sigmoid", "GELU", "SiLU", "LeakyReLU", "ELU", "Softplus"), "a"),
}
"""What comes out of a layer."""

_OPS: dict[Primitive, str] = {
    primitive_of(key): word
    for key, word in {
        np.matmul: "z",
        np.add: "sum",
        np.subtract: "difference",
        np.multiply: "product",
        arithmetic.product: "product",
        np.divide: "quotient",
        np.sqrt: "root",
        np.reshape: "reshaped",
        np.swapaxes: "turned",
        np.transpose: "turned",
        np.tanh: "a",
        activation.relu: "a",
        activation.sigmoid: "a",
        activation.gelu_tanh: "a",
        activation.gelu_exact: "a",
        activation.softmax: "p",
        attention.softmax_of_some: "weights",
        normalisation.standardized: "standard",
        normalisation.means_of_rows: "mean",
        convolution_kernels.biased_convolution: "z",
        convolution_kernels.convolution: "z",
    }.items()
}
"""What comes out of an op, where no layer says more."""

_SLOTS = {"first": "m", "second": "v"}
"""What the literature calls the arrays that an optimizer keeps."""


def identifier(text: str) -> str:
    """Return a text as a name: blocks.0.wide.weight is blocks0_wide_weight."""
    text = re.sub(r"\.(?=\d)", "", text)
    text = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "value"
    return f"_{text}" if text[0].isdigit() else text


def free(wish: str, taken: set[str]) -> str:
    """Return a name that is not taken, as near to the wish as can be; then it is."""
    name, k = wish, 1
    while name in taken:
        k += 1
        name = f"{wish}_{k}"
    taken.add(name)
    return name


def scope_key(scope: Scope) -> str:
    """Return the dotted path of a module, below the one that was called first."""
    return ".".join(call.key() for call in scope.chain()[1:])


class Names:
    """Names for all that has one in the file."""

    def __init__(self, lines: Lines, claims: Mapping[Line, Claim], reserved: Sequence[str]) -> None:
        self._of: dict[Source, str] = {}
        self._taken = {*reserved, *keyword.kwlist, *dir(builtins)}
        self._labels = lines.graph.labels()
        self._kinds = _kinds(lines)
        self._given(lines)
        self._forward(lines, claims)
        self._backward(lines, claims)

    def __getitem__(self, source: Source) -> str:
        return self._of[source]

    def __contains__(self, source: Source) -> bool:
        return source in self._of

    def free(self, wish: str) -> str:
        """Return a name that is not taken, as near to the wish as can be."""
        return free(wish, self._taken)

    def _given(self, lines: Lines) -> None:
        sources = [x for x in lines.sources.values() if isinstance(x, Given)]
        for k in lines.graph.inputs:
            self._name(lines.sources[k], identifier(lines.graph.values[k].name or "x"))
        for given in sources:
            if given.value.kind in ("parameter", "constant") and given.value.shape:
                self._name(given, self._parameter(given))
        for line in lines.lines:
            names = line.op.operand_names
            for name, x in zip(names, line.operands, strict=False):
                if isinstance(x, Given) and x.value.kind == "state" and x.shape and name != "scratch":
                    of = self._of[line.operands[0]] if names[0] == "parameter" else "running"
                    self._name(x, f"{of}_{_SLOTS.get(name, name)}")

    def _parameter(self, given: Given) -> str:
        dotted = given.value.name or self._labels[given.value.index].partition(" ")[0]
        first, _, rest = dotted.partition(".")
        # A layer that has a number alone is called after its class.
        return identifier(f"{self._kinds[first]}.{rest}" if first in self._kinds else dotted)

    def _name(self, source: Source, wish: str) -> None:
        if source not in self._of:
            self._of[source] = self.free(wish)

    def _forward(self, lines: Lines, claims: Mapping[Line, Claim]) -> None:
        wishes = [(x, _word(x)) for x in lines.lines if not x.inline and x not in claims and not x.op.writes]
        counts = Counter(word for _, word in wishes)
        numbers: Counter[str] = Counter()
        for line, word in wishes:
            numbers[word] += 1
            self._name(line, f"{word}{numbers[word]}" if counts[word] > 1 or len(word) == 1 else word)

    def _backward(self, lines: Lines, claims: Mapping[Line, Claim]) -> None:
        for line in lines.lines:
            if line in claims and not line.inline:
                claim = claims[line]
                of = self._gradient_of(claim.of)
                wish = f"d{of}" if len(of) < 4 else f"d_{of}"
                self._name(line, f"{wish}_so_far" if claim.part else wish)
        for line in lines.lines:
            # What an update makes of an array has the array's name, if nothing reads what it was.
            if line.op.writes and line.users:
                (place,) = line.op.writes
                old = line.operands[place]
                later = any(lines.lines.index(user) > lines.lines.index(line) for user in old.users)
                if old in self._of and not later:
                    self._of[line] = self._of[old]
                else:
                    self._name(line, line.op.operand_names[0] if len(line.op.operand_names) > 1 else "norm")

    def _gradient_of(self, source: Source) -> str:
        """Return the name of a value; for one without, that of what it shows."""
        if source in self._of or isinstance(source, Given):
            return self._of[source]
        if source.op not in _SHOWN:
            return _word(source)
        shown = "rows" if is_rows(source) else _SHOWN[source.op]
        return f"{self._gradient_of(source.operands[0])}_{shown}"


_SHOWN = {
    primitive_of(np.reshape): "reshaped",
    primitive_of(np.transpose): "T",
    primitive_of(np.swapaxes): "turned",
    indexing.getitem: "part",
}
"""What to call the gradient of what shows elements of another array."""


def _word(source: Source) -> str:
    """Return what to call the result of a line."""
    if isinstance(source, Given):
        return source.value.name or "value"
    call = source.call
    if call.name:
        return identifier(call.name)
    if call.phase == "forward" and call.scope is not None:
        outside = not source.users or any(user.call.scope is not call.scope for user in source.users)
        word = _MODULES.get(type(call.scope.module).__name__)
        if word and outside and source.op not in _NORMED:
            return word
        if type(call.scope.module).__name__ == "MultiheadAttention" and source.op in _HEADS:
            return _HEADS[source.op]
    if call.op.name == "cross_entropy" or (call.phase == "forward" and not source.users):
        return "loss" if not source.shape else "result"
    return "z" if is_affine(source) else _OPS.get(source.op, identifier(source.op.name))


_HEADS: dict[Primitive, str] = {
    primitive_of(np.swapaxes): "heads",
    primitive_of(np.reshape): "joined",
    primitive_of(np.multiply): "scaled",
    primitive_of(np.matmul): "scores",
}
"""What comes out of an op in an attention of several heads."""

_NORMED = {normalisation.standardized, normalisation.in_unit_squares}


def _kinds(lines: Lines) -> dict[str, str]:
    """Return for each layer that is called a number what to call it: dense1."""
    kinds: dict[str, str] = {}
    for value in lines.graph.values:
        for scope in value.scope.chain()[1:] if value.scope is not None else ():
            key = scope_key(scope)
            if key.isdigit():
                kinds.setdefault(key, type(scope.module).__name__.lower())
    counts = Counter(kinds.values())
    numbers: Counter[str] = Counter()
    names = {}
    for key, kind in kinds.items():
        numbers[kind] += 1
        names[key] = f"{kind}{numbers[kind]}" if counts[kind] > 1 else kind
    return names
