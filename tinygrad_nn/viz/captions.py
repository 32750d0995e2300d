"""What a step of the walk says: how an op hands its gradient on, in the user's names, with numbers put in."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_nn.errors import printable
from tinygrad_nn.graph.ir import Call, Graph, Value
from tinygrad_nn.languages import Language, Phrases, phrase
from tinygrad_nn.primitives import Array
from tinygrad_nn.viz.entries import Numbers, Occasion, number, summed
from tinygrad_nn.viz.mathematics import Opaque, called, names
from tinygrad_nn.viz.notation import PHRASES as IN_WORDS
from tinygrad_nn.viz.notation import Notation, figure
from tinygrad_nn.viz.sources import source

PHRASES: Phrases = {
    "reaches": {"en": "{op}: the gradient reaches {parts}", "ja": "{op}：勾配は {parts}伝わる"},
    "gets": {"en": "{op}: {parts}", "ja": "{op}：{parts}"},
    "plain": {"en": "{who} {words}", "ja": "{who} に{words}"},
    "one": {"en": "{who} gets {formula}", "ja": "{who} の勾配は {formula}"},
    "and": {"en": ", and ", "ja": "、"},
    "unchanged": {"en": "unchanged", "ja": "そのまま"},
    "negated": {"en": "negated", "ja": "符号を変えて"},
    "summed": {"en": "summed over axis {axes}", "ja": "軸 {axes} について足し合わせて"},
    "of summed": {
        "en": "{formula}, summed over axis {axes}",
        "ja": "{formula} を軸 {axes} について足したもの",
    },
    "of spread": {"en": "{formula}, spread over {shape}", "ja": "{formula} を {shape} に広げたもの"},
    "spread": {"en": "{words}, spread over {shape}", "ja": "{shape} に広げて{words}"},
    "gradient of": {"en": "{g} is the gradient of {who}", "ja": "{g} は {who} の勾配"},
    "and result": {"en": "{words}, y is {who}", "ja": "{words}、y は {who}"},
    "gradient": {"en": "gradient", "ja": "勾配"},
    "by rule": {"en": "what the rule at {place} says", "ja": "{place} の規則による値"},
}

_WHOLE, _SIDE = 36, 2
"""Entries of a gradient that is shown whole, and rows and columns of a corner of a larger one."""


@dataclass(slots=True)
class Entry:
    """One entry of a gradient: where it is, what it is, and the calculation that it comes of, if there is one."""

    index: tuple[int, ...]
    text: str
    calculation: str

    def line(self) -> str:
        """Return the calculation and its result."""
        return f"{self.calculation} = {self.text}" if self.calculation else self.text


class Handing:
    """How an op hands its gradient to one operand, told in any language.

    Args:
        value: the result of the op.
        labels: how values are called.
        occasion: the rule at work.
        added: the gradient that it gave, of which single entries are kept.
    """

    def __init__(self, value: Call, labels: Sequence[str], occasion: Occasion, added: Array) -> None:
        self._value, self.labels, self._occasion = value, labels, occasion
        self._shape = np.shape(occasion.operands[occasion.place])
        self.name = labels[value.operands[occasion.place]]
        self.plain = _plain(occasion.formula.tree)
        self.single = added.size == 1
        self._kept = {index: added[index] for index in chosen(added.shape)} if added.size else {}
        largest = np.unravel_index(int(np.argmax(np.abs(added))), added.shape) if added.size else ()
        self.largest_at = tuple(map(int, largest))
        if added.size:
            self._kept.setdefault(self.largest_at, added[self.largest_at])

    def letters(self) -> set[str]:
        """Return the names that the formula has."""
        return set() if self._occasion.tree is None else names(self._occasion.tree)

    def words(self, lang: Language) -> str:
        """Return what the operand gets, where that is the gradient itself: unchanged, summed, spread."""
        axes, spread = self._broadcast()
        words = phrase(PHRASES, self.plain, lang)
        if axes and self.plain == "unchanged":
            words = phrase(PHRASES, "summed", lang, axes=axes)
        elif spread:
            words = phrase(PHRASES, "spread", lang, words=words, shape=self._shape)
        return phrase(PHRASES, "plain", lang, who=self.name, words=words)

    def sentence(self, lang: Language) -> str:
        """Return what the operand gets: a formula, and the calculation where there is one number only."""
        told = self.entries(lang) if self.single else []
        return self.formula("".join(f" = {entry.line()}" for entry in told), lang)

    def formula(self, result: str, lang: Language) -> str:
        """Return what the operand gets: a formula, and a result that stands behind it."""
        axes, spread = self._broadcast()
        called_so = letters(self._value, self._occasion.place, self.labels, lang)
        formula = formula_text(self._occasion, called_so, lang)
        if axes:
            formula = phrase(PHRASES, "of summed", lang, formula=formula, axes=axes)
        elif spread:
            formula = phrase(PHRASES, "of spread", lang, formula=formula, shape=self._shape)
        return phrase(PHRASES, "one", lang, who=self.name, formula=formula + result)

    def _broadcast(self) -> tuple[str, bool]:
        """Return the axes that the gradient is summed over, and whether it is spread."""
        op, full = self._value.op, self._value.shape
        # What is handed on as it is has the shape of the result, whether or not operands broadcast.
        if not (op.broadcasts or self.plain) or op.variadic or self._shape == full:
            return "", False
        axes = summed(self._shape, full)
        tree = self._occasion.tree
        copied = tree is not None and names(tree) <= {"g", "y"}
        return ", ".join(map(str, axes)), not axes and copied and bool(summed(full, self._shape))

    def largest(self, lang: Language) -> Entry | None:
        """Return the largest entry of a gradient that has several, where it is calculated."""
        found = [] if self.single else self._told(lang, [self.largest_at])
        return next((entry for entry in found if entry.calculation), None)

    def entries(self, lang: Language) -> list[Entry]:
        """Return entries of the gradient with their calculations: all of a small one, some of a larger one."""
        return self._told(lang, list(self._kept))

    def _told(self, lang: Language, places: list[tuple[int, ...]]) -> list[Entry]:
        tree = self._occasion.tree
        if tree is None or (isinstance(tree, Opaque) and called(tree.func) in IN_WORDS):
            return []
        try:
            with np.errstate(all="ignore"):
                return [self._entry(tree, index, lang) for index in places]
        except Exception:
            self._occasion.refuse()
            return []

    def _entry(self, tree: ast.expr, index: tuple[int, ...], lang: Language) -> Entry:
        result = figure(number(self._kept[index]))[0]
        calculation = Numbers(self._occasion, index, lang).calculation(tree, self._shape)
        return Entry(index, result, "" if calculation == result else calculation)


def _plain(tree: ast.expr | None) -> str:
    """Return how a gradient is handed on by a rule that does nothing else with it."""
    match tree:
        case ast.Name(id="g"):
            return "unchanged"
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id="g")):
            return "negated"
    return ""


def chosen(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Return where the entries are that are shown: all of a small array, else a corner of the first matrix."""
    if math.prod(shape) <= _WHOLE:
        return iter(np.ndindex(*shape))
    return iter(np.ndindex(*(1,) * (len(shape) - 2), *(min(n, _SIDE) for n in shape[-2:])))


def caption(value: Call, handings: Sequence[Handing], lang: Language) -> str:
    """Return in words how an op hands its gradient on to its operands, with numbers where these are single ones."""
    return _joined(value, handings, [handing.sentence(lang) for handing in handings], lang)


def open_caption(value: Call, handings: Sequence[Handing], lang: Language) -> str:
    """Return the same with numbers of handings between NULs, which no name has, for single numbers, which are tried."""
    results = [f" = \0{k}\0" if handing.single else "" for k, handing in enumerate(handings)]
    sentences = [handing.formula(text, lang) for handing, text in zip(handings, results, strict=True)]
    return _joined(value, handings, sentences, lang)


def _joined(value: Call, handings: Sequence[Handing], sentences: list[str], lang: Language) -> str:
    plain = all(handing.plain for handing in handings)
    parts = [handing.words(lang) for handing in handings] if plain else sentences
    name = "reaches" if plain else "gets"
    together = phrase(PHRASES, "and", lang).join(parts)
    return phrase(PHRASES, name, lang, op=printable(value.op.name), parts=together)


def legend(value: Call, handings: Sequence[Handing], lang: Language) -> str:
    """Return what the letters g and y stand for, where the formulas of a step have them."""
    told = [handing for handing in handings if not handing.plain]
    used = set().union(*(handing.letters() for handing in told))
    if "g" not in used:
        return ""
    written = letters(value, 0, handings[0].labels, lang)
    who = handings[0].labels[value.index]
    words = phrase(PHRASES, "gradient of", lang, g=written["g"], who=who)
    return (
        phrase(PHRASES, "and result", lang, words=words, who=who)
        if "y" in used and written["y"] == "y"
        else words
    )


def letters(value: Call, place: int, labels: Sequence[str], lang: Language) -> Mapping[str, str]:
    """Return what to write for each letter of a rule: what the user calls it; g and y where nobody else is."""
    op = value.op
    names = ("x",) * (place + 1) if op.variadic else op.operand_names
    taken = {*labels}
    own = {name: f"{name}′" if name in taken else name for name in op.residuals}
    own["y"] = labels[value.index] if value.name or "y" in taken else "y"
    own["g"] = phrase(PHRASES, "gradient", lang) if "g" in taken else "g"
    return own | {name: labels[k] for name, k in zip(names, value.operands, strict=False)}


def formula_text(occasion: Occasion, called_so: Mapping[str, str], lang: Language) -> str:
    """Return the formula of a rule in the user's names, or where the rule stands if it is no mathematics."""
    formula = occasion.formula
    if formula.tree is None and formula.words:
        return formula.text
    try:
        with np.errstate(all="ignore"):
            if occasion.tree is not None:
                # A rule of the user may have variables of theirs.
                theirs = {name: name for name in names(occasion.tree) if name in formula.scope}
                return Notation(theirs | {**called_so}, lang).write(occasion.tree)
    except LookupError:
        # It is code, and no formula.
        pass
    return phrase(PHRASES, "by rule", lang, place=source(occasion.op.rule(occasion.place).function)[1])


def rules(graph: Graph, value: Value, labels: Sequence[str], lang: Language) -> list[list[str]]:
    """Return for each operand with a rule what it is called, the formula, and where the rule stands."""
    if not isinstance(value, Call):
        return []
    op, told = value.op, []
    operands = [_stand_in(graph.values[k]) for k in value.operands]
    y = np.broadcast_to(np.zeros((), value.dtype), value.shape)
    for place, k in enumerate(value.operands):
        rule = op.rules[0 if op.variadic else place]
        if rule is not None and graph.values[k].dtype.kind == "f":
            occasion = Occasion(op, place, operands, y, y, value.params)
            formula = formula_text(occasion, letters(value, place, labels, lang), lang)
            told.append([labels[k], formula, source(rule.function)[1]])
    return told


def _stand_in(value: Value) -> Array | float:
    """Return an array of the shape of a value that takes no memory, or the number that it is."""
    if isinstance(value.data, (int, float)):
        return value.data
    return np.broadcast_to(np.zeros((), value.dtype), value.shape)
