"""check_op: an op through the whole battery, on calls that Hypothesis chooses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.primitives import REGISTRY, Composite, Primitive, Record
from tinygrad_nn.testing.battery import run
from tinygrad_nn.testing.battery.calls import Chooser, draw_call, with_random
from tinygrad_nn.testing.battery.composites import check_composite_call, draw_arguments
from tinygrad_nn.testing.battery.lacking import missing_data, no_reference
from tinygrad_nn.testing.gradcheck import GradcheckReport
from tinygrad_nn.testing.strategies import run_examples
from tinygrad_nn.testing.verdict import Verdict

Op = Record | Callable[..., Any] | str
"""What tells an op: `tn.op` returned it, it stands for this function, or it has this name."""


NO_COMPLEX_STEP = "central differences alone: neither function nor reference takes complex numbers"
"""What is said of an op whose record does not say so itself."""


@dataclass(repr=False)
class OpReport:
    """What `check_op` has looked at: how often each check applied, and how much the examples could show.

    `unchecked` says what the record gave nothing to check with.

    Example:
        >>> report = check_op("tanh", max_examples=5)
        >>> report.kind, report.unchecked, report.checks["jacobian"] == report.examples
        ('differentiable', [], True)
    """

    name: str
    kind: str
    examples: int = 0
    empty: int = 0
    nonzero: int = 0
    inconclusive: int = 0
    kinks: int = 0
    checks: Counter[str] = field(default_factory=Counter)
    unchecked: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        counts = {"on kinks": self.kinks, "inconclusive": self.inconclusive}
        also = [f"{count} {what}" for what, count in counts.items() if count]
        examples = f"{self.examples} examples, {self.nonzero} with a gradient"
        return f"OpReport({'; '.join([', '.join([self.name, self.kind, examples, *also]), *self.unchecked])})"

    def told(self) -> str:
        """Return in a few words what was looked at."""
        if self.kind == "update":
            return "an update: check_optimizer is for these"
        return "; ".join([f"{self.kind}, {self.examples} examples", *self.unchecked])

    def add(self, checks: Iterable[str], verdict: Verdict | GradcheckReport | None) -> None:
        """Count one example: the checks that applied to it, and what the first derivative showed."""
        self.examples += 1
        self.checks.update(checks)
        if verdict is not None:
            self.empty += not verdict.entries
            self.nonzero += verdict.nonzero
            self.inconclusive += verdict.inconclusive > 0
            self.kinks += verdict.kinks > 0

    def conclude(self) -> OpReport:
        """Return the report; raise where the examples say too little."""
        if self.kind == "differentiable":
            if 2 * self.nonzero < self.examples - self.empty:
                raise CheckFailed(
                    f"{self.name}: vacuous, only {self.nonzero} of {self.examples} examples have a gradient "
                    "other than zero; if that is right, declare it:\n    zero_gradient=True,"
                )
            if 20 * self.inconclusive > self.examples:
                raise CheckFailed(
                    f"{self.name}: in {self.inconclusive} of {self.examples} examples the numerical "
                    "derivatives are too uncertain; a narrower domain=(low, high), kinks=(...) or, where the "
                    "function is another one on complex numbers, analytic=False helps"
                )
        return self


def kind_of(record: Record) -> str:
    """Return how a record is checked."""
    if isinstance(record, Primitive) and record.writes:
        return "update"
    if not record.differentiable:
        return "constant"
    if isinstance(record, Primitive) and record.made_of_others:
        return "made of others"
    if isinstance(record, Primitive) and record.zero_gradient:
        return "zero gradient"
    return "differentiable"


def find_record(op: Op) -> Record:
    """Return the record of an op, given itself, the function it stands for, or its name."""
    if isinstance(op, Record):
        return op
    if op in REGISTRY:
        return REGISTRY[op]
    for record in REGISTRY.values():
        if op in (record.key, record.function, getattr(record.function, "__wrapped__", record)):
            return record
    raise CheckFailed(
        f"check_op: {op!r} is not a registered op\n  hint   tn.op(function, rule) registers one"
    )


def check_op(op: Op, max_examples: int | None = None) -> OpReport:
    """Put an op through every check that this library's own ops pass; the first failure raises.

    Args:
        op: what `tn.op` or `tn.kernel` returned, a NumPy function that has a rule, or a name.
        max_examples: number of calls whose gradient is not zero; by default that of the Hypothesis profile.

    Raises:
        GradientMismatch: a rule is wrong; names the worst entry and how to reproduce it.
        CheckFailed: another check has failed, or the record lacks the calls to check; the text can be pasted. Without
            `reference=` values are compared with nothing, as `unchecked` of the report says.
        ImportError: Hypothesis is not installed.

    Example:
        >>> check_op("tanh", max_examples=5).nonzero >= 5
        True
    """
    record = find_record(op)
    report = OpReport(record.name, kind_of(record))
    if report.kind == "update":
        return report  # check_optimizer runs it
    if isinstance(record, Primitive) and (missing := missing_data(record)):
        raise CheckFailed(missing)
    if isinstance(record, Primitive) and (note := no_reference(record)):
        report.unchecked.append(note)

    def example(choose: Chooser) -> None:
        if isinstance(record, Primitive):
            call = draw_call(record, choose)
            report.add(run(call), call.verdict)
            central = call.verdict is not None and call.exact is None and not call.at_kink
            if central and record.analytic and NO_COMPLEX_STEP not in report.unchecked:
                report.unchecked.append(NO_COMPLEX_STEP)
        elif isinstance(record, Composite):
            verdict = check_composite_call(record, *draw_arguments(record, choose))
            derived = () if verdict is None else ("jacobian", "second_order", "dtype")
            report.add(("value", *derived), verdict)

    wanted = run_examples(example, max_examples)
    extra = with_random(np.random.default_rng(list(record.name.encode())))
    for _ in range(2 * wanted):
        if report.kind != "differentiable" or report.nonzero >= wanted:
            break
        example(extra)
    return report.conclude()
