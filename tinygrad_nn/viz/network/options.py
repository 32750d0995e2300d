"""What can be chosen about the view of neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from tinygrad_nn.errors import SettingError
from tinygrad_nn.languages import Language, checked_language
from tinygrad_nn.settings import positive_integer
from tinygrad_nn.viz.options import Options, Theme, chosen


class NeuronOptions(TypedDict, total=False):
    """The keywords of `viz.neurons`, none of them required, for type checkers."""

    most: int
    examples: int
    image: tuple[int, int] | bool
    theme: Theme
    title: str | None
    lang: Language


@dataclass(slots=True)
class Choices:
    """The options of the view, those not given at their defaults; see `Neurons`."""

    most: int = 12
    examples: int = 6
    image: tuple[int, int] | bool = True
    theme: Theme = "auto"
    title: str | None = None
    lang: Language = "en"

    def __post_init__(self) -> None:
        checked_language("neurons", self.lang)
        self.most = positive_integer("neurons", "most", self.most)
        self.examples = positive_integer("neurons", "examples", self.examples)
        if self.most < 2:
            raise SettingError("neurons: most is at least 2, the first neuron and the last, got 1")
        # Those that pictures of graphs have too are checked there.
        self.title = Options(theme=self.theme, title=self.title).title


def choices(options: NeuronOptions) -> Choices:
    """Return the options of a view."""
    return chosen("neurons", Choices, options)
