"""Picture: a graph as a reader sees it, in text, DOT, SVG, Mermaid, JSON and as an interactive page.

It is drawn in stages, each a file:

    graph -> facts -> scene -> dot -> layout -> svg -> page
                           `-> export

`facts` runs the graph again and puts its values and gradients in words; `scene` decides which boxes, arrows and frames
there are; `dot` says it in Graphviz's language, `layout` is where Graphviz puts it, in rows if it is long, `svg` draws
it, `page` makes it interactive, `export` writes JSON and Mermaid, `story` tells it as text. What a backward step says:
`sources` reads a rule, `mathematics` makes a tree of it, `notation` writes that, `entries` puts numbers in, and
`captions` makes sentences. Beside them: `naming` says what things are called, `lines` where in the user's program they
were made, `options` what can be chosen, `module_calls` what can be folded, `shares` where the time went, `theme` how
things look, and `render` runs Graphviz and makes PNG and PDF of SVG.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_nn.engine.node import Source
from tinygrad_nn.errors import RendererNotFound, SettingError
from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.graph.times import Times
from tinygrad_nn.hints.calls import answered
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.languages import Language, checked_language
from tinygrad_nn.viz import dot, export, page, render, svg
from tinygrad_nn.viz.facts import Facts, gather, outline
from tinygrad_nn.viz.options import Options, Theme
from tinygrad_nn.viz.scene import Scene, build
from tinygrad_nn.viz.story import walkthrough
from tinygrad_nn.viz.wording import said

if TYPE_CHECKING:
    import graphviz

ZOOM = 2.0
"""Pixels of a PNG for each point: for slides, and for screens with two."""
_INSTALL = 'For a picture: pip install "tinygrad_nn[viz]", or install Graphviz.'


class Story(str):
    """Text that a terminal and a notebook show as it prints, where they would show a string in one line."""

    def __repr__(self) -> str:
        return str(self)


class Picture(Signposts):
    """A graph with the values it had when it was drawn; printing it shows one line an op.

    Options of all functions that draw::

        depth           fold modules below this depth into one box each; None opens all
        values          compute and show values (small ones in the boxes, statistics of others)
        grads           show gradients in the boxes, and arrows along which they flow
        direction       "LR" or "TB": from left to right, or from top to bottom
        fold_constants  write numbers into the label of the op that uses them
        fold_repeats    fold modules that repeat those before them
        max_nodes       fold, then cut, pictures with more boxes; None for no limit
        theme           "light", "dark", or "auto", which follows the reader's system
        names           what to call tensors and arrays: {"x": x}
        title           what to write above the picture
        lang            the language of the picture, its page and what explains it, "en" or "ja"

    Example:
        >>> import tinygrad_nn as tn
        >>> x = tn.tensor(2.0, requires_grad=True, name="x")
        >>> print((x * x + 3).graph())
        %1 = multiply(x, x)   ()
        %2 = add(%1, 3)       ()
    """

    def __init__(
        self,
        graph: Graph,
        options: Options,
        nodes: Mapping[Source, int],
        root: Source | None,
        times: Times | None = None,
    ) -> None:
        self.graph = graph
        self.options = options
        shown = options.values and times is None
        self.facts: Facts = gather(graph, nodes, root) if shown else outline(graph)
        self.facts.times = times

    @cached_property
    def scene(self) -> Scene:
        """What is on the picture, before it has positions."""
        return build(self.graph, self.facts, self.options)

    def text(self) -> str:
        """Return one line an op: what it is called, the call, the shape, and the module it happened in."""
        lang = self.options.lang
        notes = [
            said("note", lang, note=note) for note in self.facts.told(lang) if note not in self.graph.notes
        ]
        return "\n".join([self.graph.text(self.options.max_nodes), *notes])

    def explain(self, lang: str | None = None) -> str:
        """Return the computation as a story: every value, then every gradient and the rule that made it.

        Args:
            lang: "en" or "ja"; that of the picture by default.
        """
        return Story(walkthrough(self.graph, self.facts, self._language("explain", lang)))

    def _language(self, who: str, lang: str | None) -> Language:
        return self.options.lang if lang is None else checked_language(who, lang)

    @property
    def digraph(self) -> graphviz.Digraph:
        """The picture as a `graphviz.Digraph`."""
        return dot.digraph(self.scene, self.options, dot.caption(self.scene, self.options.title))

    @property
    def dot(self) -> str:
        """The picture in Graphviz's language; the same in every process."""
        return str(self.digraph.source)

    def svg(self) -> str:
        """Return the picture as SVG.

        Raises:
            RendererNotFound: neither the program `dot` nor the extra `viz` is installed.
        """
        return self._svg(self.options)

    def _svg(self, options: Options) -> str:
        prefix = "g" + hashlib.sha256(self.dot.encode()).hexdigest()[:8]
        return svg.svg(self.scene, options, prefix, self.summary())

    def _still(self) -> str:
        """Return the picture as SVG in one theme, for what follows no reader's system."""
        theme: Theme = "light" if self.options.theme == "auto" else self.options.theme
        return self._svg(replace(self.options, theme=theme))

    def summary(self) -> str:
        """Return in one sentence what the picture shows."""
        return self._summary(self.options.lang)

    def _summary(self, lang: Language) -> str:
        parameters = [value for value in self.graph.values if value.kind == "parameter"]
        numbers = f"{sum(math.prod(value.shape) for value in parameters):,}"
        several = len(self.graph.ops) > 1
        ops = said("several ops" if several else "one op", lang, n=f"{len(self.graph.ops):,}")
        name = ("summary", "summary of one", "summary of several")[min(len(parameters), 2)]
        fields = {"ops": ops, "n": len(parameters), "numbers": numbers}
        return said(name, lang, **fields)

    @answered
    def html(self, path: str | Path | None = None, *, steps: bool = True, lang: str | None = None) -> str:
        """Return the interactive page: one file that needs no network; write it to `path` if one is given.

        It has the lines of your program that made the graph, where these are known: see `record_lines`.

        Args:
            path: where to write the page.
            steps: whether it has the player that walks through the computation, forward and backward.
            lang: the language of the page, "en" or "ja"; that of the picture by default.

        Raises:
            RendererNotFound: neither the program `dot` nor the extra `viz` is installed.
        """
        facts = self.facts if steps else replace(self.facts, steps=[])
        options = replace(self.options, lang=self._language("html", lang))
        text = page.page(self.graph, facts, options, self._summary(options.lang))
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def mermaid(self) -> str:
        """Return the picture as a Mermaid flowchart."""
        return export.mermaid(self.scene, self.options)

    def json(self) -> str:
        """Return the picture, all values, rules and steps as JSON."""
        data = export.as_dict(self.graph, self.facts, self.scene, self.options.title)
        return json.dumps(data, indent=1) + "\n"

    @answered
    def render(self, path: str | Path) -> Path:
        """Write the picture in the format of the suffix: svg, html, dot, txt, mmd, json, png or pdf.

        Raises:
            ValueError: another suffix.
            RendererNotFound: what draws this format is not installed; says how to install it.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        writers: dict[str, Callable[[], str | bytes]] = {
            ".svg": self.svg,
            ".html": self.html,
            ".dot": lambda: self.dot + "\n",
            ".txt": lambda: self.text() + "\n",
            ".mmd": self.mermaid,
            ".json": self.json,
            ".png": lambda: render.png(self._still(), ZOOM),
            ".pdf": lambda: render.pdf(self._still()),
        }
        if suffix not in writers:
            raise SettingError(f"the suffix of {str(path)!r} is none of {' '.join(writers)}")
        content = writers[suffix]()
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text() if render.available() else f"{self.text()}\n{_INSTALL}"

    def _repr_svg_(self) -> str | None:
        try:
            return self.svg()
        except RuntimeError:
            return None

    def _repr_html_(self) -> str:
        try:
            return self.svg()
        # A notebook is shown the text, and why there is no picture.
        except RuntimeError as error:
            reason = _INSTALL if isinstance(error, RendererNotFound) else str(error)
            return f"<pre>{escape(self.text())}\n\n{escape(reason)}</pre>"
