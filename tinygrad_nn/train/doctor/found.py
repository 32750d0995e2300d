"""What a check returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Found:
    """An ill that was found.

    Attributes:
        numbers: what shows it.
        module: the path of the module it is about.
        kind: which of the sentences of the ill says it; "" where it has one.
        words: fields of the sentence that are no numbers.
    """

    numbers: Mapping[str, float]
    module: str = ""
    kind: str = ""
    words: Mapping[str, object] = field(default_factory=dict)
