"""Sentences are found in every language that is promised, with the same names and numbers in them."""

from importlib import import_module
from pathlib import Path
from string import Formatter

import pytest

import tinygrad_nn
from tests.support.words import english
from tinygrad_nn.errors import SettingError
from tinygrad_nn.languages import LANGUAGES, checked_language, cut, ljust, phrase, rjust, width

PACKAGE = Path(tinygrad_nn.__file__).parent
TABLES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if "\nPHRASES" in path.read_text(encoding="utf-8")
)
"""Modules that have sentences in a table, which is called PHRASES everywhere."""


def fields(text):
    return sorted({field for _, field, _, _ in Formatter().parse(text) if field is not None})


@pytest.mark.parametrize("module", TABLES)
def test_every_sentence_is_there_in_every_language_with_the_same_fields(module):
    for name, texts in import_module(module).PHRASES.items():
        assert set(texts) == set(LANGUAGES), name
        assert len({tuple(fields(text)) for text in texts.values()}) == 1, name


CODE = "Doctor callbacks=[doctor] max_nodes=None fold_repeats=False tanh sigmoid DecompressionStream who"
"""Names of the library and of browsers, and a field of a field."""


@pytest.mark.parametrize("module", TABLES)
def test_no_sentence_in_japanese_has_an_english_word_but_names(module):
    texts = [texts["ja"] for texts in import_module(module).PHRASES.values()]
    literal = ["".join(part for part, *_ in Formatter().parse(text)) for text in texts]
    assert english(literal, [CODE]) == {}


def test_a_sentence_has_its_fields_filled_in():
    phrases = {"rate": {"en": "a rate of {rate}", "ja": "学習率は{rate}"}}
    assert [phrase(phrases, "rate", lang, rate=0.1) for lang in LANGUAGES] == ["a rate of 0.1", "学習率は0.1"]


def test_a_language_without_sentences_is_refused():
    assert checked_language("explain", "ja") == "ja"
    with pytest.raises(SettingError, match="explain: lang is one of 'en', 'ja', got 'de'"):
        checked_language("explain", "de")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("loss", 4),
        ("損失", 4),
        (chr(0xFF4C) * 4, 8),
        ("é", 1),
        ("e" + chr(0x301), 1),
        ("層1", 3),
        ("", 0),
        (chr(0x3B1), 1),
    ],
)
def test_a_text_is_as_wide_as_a_terminal_shows_it(text, columns):
    assert width(text) == columns
    assert ljust(text, 10) == text + " " * (10 - columns)
    assert rjust(text, 10) == " " * (10 - columns) + text


@pytest.mark.parametrize("columns", range(-1, 12))
def test_a_text_is_cut_to_columns_and_no_character_in_two(columns):
    text = "epoch 損失 0.5"
    assert text.startswith(cut(text, columns))
    assert width(cut(text, columns)) in (max(columns, 0), max(columns - 1, 0))
    assert cut("loss", 40) == "loss"
