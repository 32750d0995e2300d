"""What the doctor says: findings, most important first, as text and as a table for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinygrad_nn.languages import Language, phrase
from tinygrad_nn.train.doctor.phrases import PHRASES


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        name: what it is, one of `tn.train.doctor.NAMES`; names stay the same.
        module: the path of the module it is about, as `named_modules` has it; "" where it is about all.
        numbers: what shows it, by name.
        line: what to write.
        text: a sentence that says it.
    """

    name: str
    module: str
    numbers: Mapping[str, float]
    line: str
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What the doctor has found; it prints as text.

    Attributes:
        findings: what is wrong, the most important first.
        steps: how many steps of a training were looked after.
        lang: the language of the sentences.
        stopped: what could not be looked at, and why.
    """

    findings: Sequence[Finding] = ()
    steps: int = 0
    lang: Language = "en"
    stopped: str = ""

    def __repr__(self) -> str:
        lines = [head] if (head := self._head()) else []
        for number, finding in enumerate(self.findings, 1):
            where = f" ({finding.module})" if finding.module else ""
            lines.append(f"{number}. {finding.name}{where}: {finding.text}")
            lines.append(f"   {phrase(PHRASES, 'line', self.lang)} {finding.line}")
        if self.stopped:
            lines.append(phrase(PHRASES, "stopped", self.lang, why=self.stopped))
        return "\n".join(lines)

    def _head(self) -> str:
        # Nothing was found before the first step, because something could not be looked at.
        if self.stopped and not self.findings and not self.steps:
            return ""
        name = ("found" if self.findings else "healthy") + ("" if self.steps else ".before")
        fields = {"steps": self.steps, "count": len(self.findings)}
        return phrase(PHRASES, name, self.lang, **fields)

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{phrase(PHRASES, f'column.{name}', self.lang)}</th>" for name in _COLUMNS)
        rows = "".join(
            f"<tr><td><code>{finding.name}</code></td><td><code>{html.escape(finding.module)}</code></td>"
            f'<td style="text-align:left">{html.escape(finding.text)}</td>'
            f'<td style="text-align:left"><code>{html.escape(finding.line)}</code></td></tr>'
            for finding in self.findings
        )
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        note = phrase(PHRASES, "stopped", self.lang, why=self.stopped) if self.stopped else ""
        return f"<div><p>{html.escape(self._head())}</p>{table}<p>{html.escape(note)}</p></div>"


_COLUMNS = ("name", "module", "text", "line")
