"""The languages of captions, explanations and reports, and how a sentence is found in one of them.

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
