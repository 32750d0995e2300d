"""Neurons: a network as circles and lines, as text, SVG, and as a page to walk through it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from tinygrad_nn.errors import SettingError
from tinygrad_nn.hints.calls import answered
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.settings import is_integer
from tinygrad_nn.viz import render
from tinygrad_nn.viz.network import drawing
from tinygrad_nn.viz.network.layers import Column
from tinygrad_nn.viz.network.options import Choices
from tinygrad_nn.viz.network.page import page
from tinygrad_nn.viz.network.sheet import Sheet
from tinygrad_nn.viz.network.walk import Walk
from tinygrad_nn.viz.options import Theme
from tinygrad_nn.viz.picture import ZOOM


class Neurons(Signposts):
    """A network on a batch, layer by layer, with the numbers of every neuron; see `viz.neurons`.

    Options::

        most      neurons of a layer that are shown, the first and the last; what is left out is said
        examples  rows that the page can show, the first ones
        image     height and width of the input, which is drawn as an image then; True finds it where the input came as
                  images or is a square of 64 numbers or more; False never draws one
        theme     "light", "dark", or "auto", which follows the reader's system
        title     what to write above the picture
        lang      "en" or "ja"

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 3, rng=0), tn.nn.Tanh(), tn.nn.Dense(3, 1, rng=1))
        >>> view = tn.viz.neurons(model, np.ones((4, 2)))
        >>> print(view.text())
        x          2 inputs
        0: Dense   a = tanh(z), 3 neurons
        2: Dense   1 neuron
    """

    def __init__(self, walk: Walk, choices: Choices) -> None:
        self.walk, self._choices = walk, choices
        self._sheet = Sheet(walk, choices, _image(walk, choices.image))

    @property
    def steps(self) -> list[str]:
        """What the player says at each step, forward and then backward."""
        return [step.caption for step in self._sheet.steps]

    def text(self) -> str:
        """Return one line a layer: what it is called, how many neurons it has, and what they compute."""
        rows = [(place.title, place.lines) for place in self._sheet.places]
        most = max(len(title) for title, _ in rows)
        lines = [f"{title:<{most}}   {', '.join(lines)}" for title, lines in rows]
        return "\n".join([*lines, *(f"note: {note}" for note in self._sheet.notes())])

    def summary(self, example: int = 0) -> str:
        """Return in one sentence what the picture shows."""
        sizes = " - ".join(f"{column.size:,}" for column in self.walk.chain.columns)
        return self._sheet.say("summary", sizes=sizes, example=example + 1, rows=self.walk.chain.rows)

    @answered
    def svg(self, step: int = 0, example: int = 0) -> str:
        """Return the picture as SVG.

        Args:
            step: of the player's steps; 0 is the whole network with its activations.
            example: which row of the input, from 0.

        Raises:
            SettingError: there is no such step or example.
        """
        self._check(step, example)
        return self._svg(step, example, self._choices.theme)

    def _svg(self, step: int, example: int, theme: Theme) -> str:
        prefix = "u" + hashlib.sha256(f"{self.text()} {step} {example}".encode()).hexdigest()[:8]
        return drawing.svg(self._sheet, theme, prefix, step, example, self.summary(example))

    def _still(self, step: int, example: int) -> str:
        """Return the picture as SVG in one theme, for what follows no reader's system."""
        theme: Theme = "light" if self._choices.theme == "auto" else self._choices.theme
        return self._svg(step, example, theme)

    @answered
    def html(self, path: str | Path | None = None) -> str:
        """Return the interactive page: one file that needs no network; write it to `path` if one is given."""
        text = page(self._sheet, self.summary(), self.text())
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @answered
    def render(self, path: str | Path, *, step: int = 0, example: int = 0) -> Path:
        """Write the view in the format of the suffix: svg, html, txt, png or pdf.

        Args:
            path: where to write it.
            step, example: of pictures, as `svg` takes them.

        Raises:
            SettingError: another suffix, or there is no such step or example.
            RendererNotFound: what makes this format of SVG is not installed; says how to install it.
        """
        self._check(step, example)
        target = Path(path)
        writers: dict[str, Callable[[], str | bytes]] = {
            ".svg": lambda: self.svg(step, example),
            ".html": self.html,
            ".txt": lambda: self.text() + "\n",
            ".png": lambda: render.png(self._still(step, example), ZOOM),
            ".pdf": lambda: render.pdf(self._still(step, example)),
        }
        suffix = target.suffix.lower()
        if suffix not in writers:
            raise SettingError(f"the suffix of {str(path)!r} is none of {' '.join(writers)}")
        content = writers[suffix]()
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def _check(self, step: int, example: int) -> None:
        for name, value, most in (
            ("step", step, len(self._sheet.steps)),
            ("example", example, self._sheet.examples - 1),
        ):
            if not is_integer(value) or not 0 <= value <= most:
                raise SettingError(f"neurons: {name} is from 0 to {most}, got {value!r:.60}")

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return self.svg()


def _image(walk: Walk, image: object) -> tuple[int, int] | bool:
    """Return how the input is arranged, if that fits it."""
    if isinstance(image, bool):
        return image
    first = walk.chain.stages[0]
    size = first.size if isinstance(first, Column) else 0
    if isinstance(image, tuple) and len(image) == 2 and all(is_integer(n) and n > 0 for n in image):
        height, width = (int(n) for n in image)
        if height * width == size:
            return height, width
    raise SettingError(
        f"neurons: image is True, False, or height and width, which multiply to {size}, got {image!r:.60}"
    )
