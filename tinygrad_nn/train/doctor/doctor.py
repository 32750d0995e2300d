"""The doctor as a callback: looks at some steps of a training, and says what is wrong."""

from __future__ import annotations

import math

from tinygrad_nn.languages import Language, checked_language, phrase
from tinygrad_nn.train.callbacks import EarlyStopping
from tinygrad_nn.train.doctor.dynamics import learned
from tinygrad_nn.train.doctor.evidence import Evidence
from tinygrad_nn.train.doctor.found import Found
from tinygrad_nn.train.doctor.ills import found_in
from tinygrad_nn.train.doctor.modes import moved, moved_by_training
from tinygrad_nn.train.doctor.phrases import LINES, PHRASES
from tinygrad_nn.train.doctor.probe import Probe
from tinygrad_nn.train.doctor.report import Finding, Report
from tinygrad_nn.train.run import Callback, Run


def looks_at_targets(step: int) -> bool:
    """Tell whether the targets of a step are counted: of the first 16, then of 8 each time their number doubles."""
    return step < 16 or step % 2 ** (step.bit_length() - 4) == 0


class Doctor(Callback):
    """Looks at a training and says what is wrong with it, with numbers and the line to write: `doctor.report`.

    It runs the model on some rows of some batches besides, and puts back all that this moves: the training is the same
    bit for bit as without it. Steps 0, 1, 2, 4, 8, 16 and so on are looked at. Of ranks that train together, each has
    a doctor for its rows.

    Args:
        lang: the language of the report, "en" or "ja".

    Raises:
        SettingError: there is no report in this language.

    Example:
        >>> import tinygrad_nn as tn
        >>> X, y = tn.data.moons(200)
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 16, rng=0), tn.nn.ReLU(), tn.nn.Dense(16, 2, rng=1))
        >>> optimizer = tn.optim.SGD(model.parameters(), lr=1e-6)
        >>> doctor = Doctor()
        >>> batches = tn.data.batches(X, y, size=20, rng=0)
        >>> loss = tn.nn.losses.cross_entropy
        >>> _ = tn.train.fit(model, loss, optimizer, batches, epochs=2, callbacks=[doctor], progress=False)
        >>> [finding.name for finding in doctor.report.findings]
        ['rate-too-low']
    """

    # Told when all others have done what they do.
    rank = 2

    def __init__(self, *, lang: str = "en") -> None:
        self._lang = checked_language("Doctor", lang)
        self._evidence: Evidence | None = None
        self._looking: Probe | None = None
        self._resting_place: list[tuple[str, object]] | None = None

    @property
    def report(self) -> Report:
        """What is wrong so far; during a training, after it, and after an exception too."""
        return report_of(self._evidence, self._lang)

    def __repr__(self) -> str:
        return phrase(PHRASES, "not.yet", self._lang) if self._evidence is None else repr(self.report)

    def _repr_html_(self) -> str | None:
        # Of None a notebook shows the text.
        return None if self._evidence is None else self.report._repr_html_()

    def on_start(self, run: Run) -> None:
        optimizer = run.optimizer
        self._evidence = Evidence(run.model, run.loss, optimizer, run.parts_of, fit=True)
        self._evidence.stops_early = any(isinstance(callback, EarlyStopping) for callback in run.callbacks)
        self._looking = self._resting_place = None
        self._batches = 0

    def on_batch(self, run: Run) -> None:
        evidence, step = self._evidence, self._batches
        self._batches += 1
        if evidence is None:
            return
        if looks_at_targets(step):
            evidence.look_at_targets(run.given)
        evidence.keep(run.given)
        # 0 and the powers of two.
        if step & (step - 1) == 0:
            self._looking = evidence.before_step(run.given)

    def on_step(self, run: Run) -> None:
        evidence = self._evidence
        if evidence is None:
            return
        evidence.note_loss(run.measured["loss"])
        if self._looking is not None:
            evidence.after_step(self._looking)
            self._looking = None
        if run.batch == run.steps_per_epoch and run.size == 1:
            self._resting_place = moved_by_training(evidence.modules)

    def on_epoch(self, run: Run) -> None:
        evidence = self._evidence
        if evidence is None:
            return
        evidence.history = run.history
        self._doubt(evidence)
        validated = "val_loss" in run.history
        if validated and not evidence.validated:
            evidence.validated = True
            evidence.look_at_evaluation(run.given)
        if self._resting_place is not None and evidence.moved is None:
            evidence.moved = moved(self._resting_place, moved_by_training(evidence.modules))
            self._resting_place = None

    def on_end(self, run: Run) -> None:
        # The model as it is now, on the batch at which it ended.
        if self._evidence is not None and self._batches:
            self._evidence.probe(run.given)
            self._doubt(self._evidence)

    def _doubt(self, evidence: Evidence) -> None:
        """Where nothing has been learned yet, ask once whether there is anything to learn."""
        if math.isnan(evidence.signal) and learned(evidence, looks=2) > 0.9:
            evidence.look_at_signal()


def report_of(evidence: Evidence | None, lang: Language) -> Report:
    """Return what is wrong in a language."""
    if evidence is None:
        return Report(lang=lang)
    modules = dict(evidence.modules)
    findings = []
    for name, found in found_in(evidence):
        kind = type(modules.get(found.module, evidence.model)).__name__
        findings.append(_finding(name, found, f"{found.module} ({kind})" if found.module else kind, lang))
    failures = [probe.failed for probe in evidence.probes if probe.failed is not None]
    failed = failures[-1][1] if failures else evidence.failed
    stopped = "" if failed is None else f"{type(failed).__name__}: {failed}".partition("\n")[0]
    return Report(tuple(findings), evidence.steps if evidence.fit else 0, lang, stopped)


def _finding(name: str, found: Found, module: str, lang: Language) -> Finding:
    variant = f"{name}.{found.kind}" if found.kind else name
    fields = {**found.numbers, **found.words, "module": module}
    line = phrase(LINES, variant if variant in LINES else name, lang, **fields)
    text = phrase(PHRASES, variant, lang, **fields)
    return Finding(name, found.module, dict(found.numbers), line, text)
