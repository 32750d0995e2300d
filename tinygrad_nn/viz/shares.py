"""What share of the time of a computation its boxes and frames took."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_nn.graph.ir import PHASES
from tinygrad_nn.graph.times import Parts, Times, duration
from tinygrad_nn.languages import Language
from tinygrad_nn.viz.wording import said

HOT = 0.1
"""Boxes that take this share or more, forward and backward, are filled."""


class Shares:
    """The shares of a computation, by the values that a box or a frame stands for."""

    def __init__(self, times: Times, lang: Language = "en") -> None:
        self._times, self._lang = times, lang
        self._with: dict[str, dict[int, list[tuple[int, ...]]]] = {}
        for phase, parts in self._phases():
            of = self._with[phase] = {}
            for made in parts:
                for k in made:
                    of.setdefault(k, []).append(made)

    def _phases(self) -> tuple[tuple[str, Parts], ...]:
        return ("forward", self._times.forward), ("backward", self._times.backward)

    def share(self, values: Iterable[int]) -> float:
        """Return the share of the parts that made these values and no others, forward and backward."""
        return sum(self._inside(phase, parts, set(values)) for phase, parts in self._phases())

    def text(self, values: Iterable[int]) -> str:
        """Return what a box or a frame says of the time of its values; nothing if none was measured.

        What made others too is said to be a part of that.
        """
        own, texts = set(values), []
        for phase, parts in self._phases():
            inside = self._inside(phase, parts, own)
            touching = self._sum(parts, {made for k in own for made in self._with[phase].get(k, ())})
            if touching:
                share = percent(inside) if inside else said("part of", self._lang, share=percent(touching))
                texts.append(share if phase == "forward" else f"{said(phase, self._lang)} {share}")
        return " · ".join(texts)

    def _inside(self, phase: str, parts: Parts, own: set[int]) -> float:
        found = {made for k in own for made in self._with[phase].get(k, ())}
        return self._sum(parts, {made for made in found if own.issuperset(made)})

    def _sum(self, parts: Parts, chosen: set[tuple[int, ...]]) -> float:
        # In the order of the graph, because those of a set come in any.
        return sum(parts[made] for made in sorted(chosen)) / self._times.seconds

    def note(self) -> str:
        """Return what the reader has to know of the shares."""
        took = self._times.phases
        phases = {phase: took[phase] / self._times.seconds for phase in PHASES if phase in took}
        phases["between ops"] = max(1 - sum(phases.values()), 0.0)
        shares = ", ".join(f"{said(phase, self._lang)} {percent(share)}" for phase, share in phases.items())
        time = duration(self._times.seconds)
        return said("a call", self._lang, time=time, shares=shares, hot=percent(HOT))


def percent(share: float) -> str:
    """Return a share in percent, with a digit after the point where it is small."""
    return f"{100 * share:.{int(share < 0.0995)}f} %"
