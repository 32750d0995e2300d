"""The one dictionary of all hints about names: what PyTorch, Keras and NumPy call things, and what to write here.

A place is where a name is looked for: a class of objects (`Tensor`), a module by its public path (`nn.init`), a call
by its function or class (`fit()`), or any call (`()`). What has the same answer stands together, names and places
alike. `{}` in an answer about a keyword stands for the value that it was given; `*` is the usual call, which answers
those that lack something or have too much.
"""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_nn.hints.keywords import KEYWORDS
from tinygrad_nn.hints.modules import MODULES
from tinygrad_nn.hints.objects import OBJECTS

WORDS = {
    place: {name: answer for names, answer in answers.items() for name in names.split()}
    for places, answers in (OBJECTS | MODULES | KEYWORDS).items()
    for place in places.split()
}
"""By place and by name, what to write."""


def word(name: str, *places: str) -> str | None:
    """Return what to write instead of a name, from the first of the places that knows."""
    return next((WORDS[place][name] for place in places if name in WORDS.get(place, ())), None)


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return which of the names was probably meant, if any."""
    # Needed for an error only, and slow to import.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, names, 1)), None)
