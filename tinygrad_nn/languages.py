"""The languages of captions, explanations and reports: how a sentence is found in one, and how wide its letters are.

Who says something keeps its sentences in a table of its own, a name to its texts in all languages, with
fields in braces for names and numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from tinygrad_nn.errors import SettingError

Language = Literal["en", "ja"]

LANGUAGES: tuple[Language, ...] = get_args(Language)

Phrases = Mapping[str, Mapping[Language, str]]
"""Sentences by name, each in every language."""


def checked_language(who: str, lang: str) -> Language:
    """Return the language that was asked for.

    Raises:
        SettingError: nothing is written in it.
    """
    for known in LANGUAGES:
        if lang == known:
            return known
    raise SettingError(f"{who}: lang is one of {', '.join(map(repr, LANGUAGES))}, got {lang!r:.60}")


def phrase(phrases: Phrases, name: str, lang: Language, **fields: object) -> str:
    """Return a sentence in a language, with its fields filled in.

    >>> phrase({"loss": {"en": "a loss of {value:.2f}", "ja": "損失は{value:.2f}"}}, "loss", "ja", value=0.5)
    '損失は0.50'
    """
    return phrases[name][lang].format(**fields)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a full-width character, none for an accent.

    >>> width("loss"), width("損失")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    # Few programs have such names.
    from unicodedata import category, east_asian_width

    wide = sum(east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(category(c) in ("Mn", "Me", "Cf") for c in text)


def ljust(text: str, columns: int) -> str:
    """Return a text at the left of so many columns."""
    return text + " " * (columns - width(text))


def rjust(text: str, columns: int) -> str:
    """Return a text at the right of so many columns."""
    return " " * (columns - width(text)) + text


def cut(text: str, columns: int) -> str:
    """Return as much of a text as fits into so many columns.

    >>> cut("損失 0.5", 3)
    '損'
    """
    while text and width(text) > columns:
        text = text[: min(columns, len(text) - 1)]
    return text
