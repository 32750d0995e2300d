"""Where the time of a step goes: all of it is found, and called what it is called in the step."""

import json
import re
import time

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import errors, nn

X, LABELS = np.ones((5, 4), np.float32), np.array([0, 1, 2, 0, 1])


def training():
    model = nn.Sequential(nn.Dense(4, 8, rng=0), nn.Tanh(), nn.Dense(8, 3, rng=1))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)

    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step, optimizer


def test_an_eager_step_is_timed_by_op_module_and_phase():
    report = tn.profile(training()[0], X, LABELS, calls=3)
    found = {(row.op, row.module, row.phase): row.count for row in report.rows}
    first = "Sequential / 0: Dense(4 -> 8)"
    assert found["matmul", first, "forward"] == found["matmul", first, "backward"] == 1
    assert found["tanh", "Sequential / 1: Tanh()", "backward"] == 1
    assert found["cross_entropy", "(no module)", "forward"] == 1
    assert found["sgd_update", "(no module)", "update"] == 1
    assert {row.phase for row in report.by("phase")} == {"forward", "backward", "update", "(between ops)"}


def test_a_compiled_step_is_replayed_and_timed_line_by_line(backend):
    step = tn.compile(training()[0], backend=backend)
    report = tn.profile(step, X, LABELS, calls=2)
    assert len(step.programs) == 1
    ops = " ".join(row.op for row in report.rows)
    for op in ("matmul", "tanh", "cross_entropy", "sgd_update"):
        assert op in ops
    products = [row for row in report.rows if row.op == "matmul"]
    if backend == "numpy":
        assert "Sequential / 2: Dense(8 -> 3)" in {row.module for row in products if row.phase == "backward"}


def test_profiled_calls_do_what_other_calls_do(backend):
    eager, compiled = training()[0], tn.compile(training()[0], backend=backend)
    for step in (eager, compiled):
        tn.profile(step, X, LABELS, calls=4)
    np.testing.assert_allclose(compiled(X, LABELS).item(), eager(X, LABELS).item(), rtol=1e-5)


def test_the_rows_add_up_to_the_whole():
    report = tn.profile(training()[0], X, LABELS)
    for columns in (("op",), ("module",), ("op", "phase")):
        rows = report.by(*columns)
        assert sum(row.seconds for row in rows) == pytest.approx(report.seconds)
        assert sum(row.share for row in rows) == pytest.approx(1)
        assert [row.seconds for row in rows] == sorted((row.seconds for row in rows), reverse=True)


def test_a_slow_op_comes_first_and_time_outside_of_ops_is_said():
    @tn.kernel(lambda g: g, name="sleep", method=False)
    def sleep(x):
        time.sleep(0.002)
        return x + 0

    def step():
        sleep(tn.tensor([1.0]))
        time.sleep(0.006)

    first, second = tn.profile(step, calls=2).by("op")[:2]
    assert (first.op, second.op) == ("(between ops)", "sleep")
    assert first.seconds > second.seconds > 0.0015


def test_the_table_names_columns_and_says_how_many_rows_are_left_out():
    text = tn.profile(training()[0], X, LABELS).table(rows=2)
    head, columns, *rows = text.splitlines()
    assert re.fullmatch(r"step: \S+ (s|ms|µs) a call, the mean of 10", head)
    assert columns.split() == ["share", "time", "calls", "op", "module", "phase"]
    assert len(rows) == 3
    assert re.fullmatch(r"\.\.\. and \d+ more", rows[-1])


def test_the_file_is_a_timeline_of_ops_inside_of_modules(tmp_path):
    report = tn.profile(training()[0], X, LABELS, calls=1)
    report.save(tmp_path / "step.json")
    bars = json.loads((tmp_path / "step.json").read_bytes())["traceEvents"]
    assert all(bar["ph"] == "X" and bar["ts"] >= 0 and bar["dur"] >= 0 for bar in bars)
    by_name = {(bar["name"], bar["cat"]): bar for bar in bars}
    outer, inner, op = (
        by_name["Sequential", "forward"],
        by_name["1: Tanh", "forward"],
        by_name["tanh", "forward"],
    )
    for around, within in ((outer, inner), (inner, op)):
        assert around["ts"] <= within["ts"]
        assert within["ts"] + within["dur"] <= around["ts"] + around["dur"] + 1e-3


def test_what_computes_nothing_has_an_empty_profile():
    report = tn.profile(lambda: None)
    assert [row.op for row in report.rows] == ["(between ops)"]


def test_after_an_error_nobody_watches():
    step, _ = training()
    with pytest.raises(errors.ShapeError):
        tn.profile(step, np.ones((5, 3), np.float32), LABELS)
    compiled = tn.compile(step)
    compiled(X, LABELS)
    assert len(compiled.programs) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tn.profile(training()[0](X, LABELS)), "step is Tensor, expected a function"),
        (lambda: tn.profile(training()[0], X, LABELS, calls=0), "calls is a positive integer, got 0"),
        (lambda: tn.profile(lambda: None).by("layer"), "columns are op, module, phase, got 'layer'"),
        (lambda: tn.profile(lambda: None).by(), "got none"),
    ],
)
def test_wrong_calls_say_what_to_write(call, message):
    with pytest.raises(errors.TinygradError, match=re.escape(message)):
        call()
