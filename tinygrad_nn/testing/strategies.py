"""Hypothesis strategies for arrays, calls and graphs; the first one asked for imports Hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from tinygrad_nn.testing.calls import Integer

Example = Callable[[Integer], None]


def hypothesis() -> ModuleType:
    """Return Hypothesis; without it the error says how to install it."""
    try:
        import hypothesis
    except ImportError as error:
        raise ImportError('this check needs Hypothesis: pip install "tinygrad_nn[test]"') from error
    return hypothesis


def choosing(example: Example) -> Callable[[Any], None]:
    """Return a function of Hypothesis's data that runs an example with Hypothesis choosing."""
    from hypothesis import strategies as st

    return lambda data: example(lambda low, high: data.draw(st.integers(low, high)))


def run_examples(test: Callable[[Any], None], max_examples: int | None) -> int:
    """Run a test on as many examples as asked for, or as the profile says; return how many that is."""
    h = hypothesis()
    from hypothesis import strategies as st

    count = h.settings.default.max_examples if max_examples is None else max_examples
    settings = h.settings(
        max_examples=count,
        report_multiple_bugs=False,
        deadline=None,
        database=None,
        suppress_health_check=list(h.HealthCheck),
    )

    def run(data: Any) -> None:
        test(data)

    settings(h.given(data=st.data())(run))()
    return count
