"""Where the time of a step goes: all of it is found, and called what it is called in the step."""

import json
import re
import time

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.steps import training_step
from tinygrad_nn import errors, nn

X, LABELS = np.ones((5, 4), np.float32), np.array([0, 1, 2, 0, 1])


def training():
    model = nn.Sequential(nn.Dense(4, 8, rng=0), nn.Tanh(), nn.Dense(8, 3, rng=1))
    return training_step(model, tn.optim.SGD(model.parameters(), lr=0.1))


def test_an_eager_step_is_timed_by_op_module_and_phase():
    report = tn.profile(training(), X, LABELS, calls=3)
    found = {(row.op, row.module, row.phase): row.count for row in report.rows}
    first = "Sequential / 0: Dense(4 -> 8)"
    assert found["matmul", first, "forward"] == found["matmul", first, "backward"] == 1
    assert found["tanh", "Sequential / 1: Tanh()", "backward"] == 1
    assert found["cross_entropy", "(no module)", "forward"] == 1
    assert found["sgd_update", "(no module)", "update"] == 1
    assert {row.phase for row in report.by("phase")} == {"forward", "backward", "update", "(between ops)"}


def test_a_compiled_step_is_replayed_and_timed_line_by_line(backend):
    step = tn.compile(training(), backend=backend)
    report = tn.profile(step, X, LABELS, calls=2)
    assert len(step.programs) == 1
    ops = " ".join(row.op for row in report.rows)
    for op in ("matmul", "tanh", "cross_entropy", "sgd_update"):
        assert op in ops
    products = [row for row in report.rows if row.op == "matmul"]
    if backend == "numpy":
        assert "Sequential / 2: Dense(8 -> 3)" in {row.module for row in products if row.phase == "backward"}


def test_profiled_calls_do_what_other_calls_do(backend):
    eager, compiled = training(), tn.compile(training(), backend=backend)
    for step in (eager, compiled):
        tn.profile(step, X, LABELS, calls=4)
    np.testing.assert_allclose(compiled(X, LABELS).item(), eager(X, LABELS).item(), rtol=1e-5)


def test_the_rows_add_up_to_the_whole():
    report = tn.profile(training(), X, LABELS)
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
    text = tn.profile(training(), X, LABELS).table(rows=2)
    head, columns, *rows = text.splitlines()
    assert re.fullmatch(r"step: \S+ (s|ms|µs) a call, the mean of 10", head)
    assert columns.split() == ["share", "time", "calls", "op", "module", "phase"]
    assert len(rows) == 3
    assert re.fullmatch(r"\.\.\. and \d+ more", rows[-1])


def test_the_file_is_a_timeline_of_ops_inside_of_modules(tmp_path):
    report = tn.profile(training(), X, LABELS, calls=1)
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


def test_times_say_for_every_op_how_long_it_and_its_rules_took(backend):
    step = training()
    for timed in (step, tn.compile(step, backend=backend)):
        report = tn.profile(timed, X, LABELS, calls=3)
        times = report.times()
        names = [value.op.name for value in times.graph.ops]
        assert names == ["matmul", "add", "tanh", "matmul", "add", "cross_entropy"]
        made = {k for parts in (times.forward, times.backward) for part in parts for k in part}
        assert made >= {value.index for value in times.graph.ops if value.op.name in ("matmul", "tanh")}
        by_phase = {row.phase: row.seconds for row in report.by("phase")}
        if timed is step:
            assert times.phases == pytest.approx({phase: by_phase[phase] for phase in times.phases})
        assert sum(times.phases.values()) <= times.seconds == report.seconds


def test_what_is_computed_twice_and_what_batch_norm_keeps_is_timed_too():
    model = nn.Sequential(nn.Residual(nn.Dense(4, 4, rng=0)), nn.BatchNorm(4), nn.Dropout(0.5, rng=0))
    optimizer = tn.optim.Adam(model.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        y = model(x)
        loss = (y * y).sum()
        loss.backward()
        optimizer.step()

    state = [model.state_dict(), model[2].rng.bit_generator.state]
    report = tn.profile(step, X, calls=2)
    after = [model.state_dict(), model[2].rng.bit_generator.state]
    times = report.times()
    assert times.phases.keys() == {"forward", "backward", "update"}
    assert all(
        part in times.backward for part in times.forward if times.graph.values[part[0]].op.name == "matmul"
    )
    # Looking changes nothing.
    assert model[2].rng.bit_generator.state == after[1] != state[1]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, after[0][name])


def test_plain_arrays_stay_plain_when_a_step_is_recorded_for_its_times():
    w = tn.tensor(np.ones((4, 3), np.float32), requires_grad=True, name="w")

    def step(batch, scale):
        x = batch["x"].reshape(-1, 4) * 2
        return tn.tensor(x) @ w * scale

    times = tn.profile(step, {"x": X}, tn.tensor(2.0)).times()
    assert [value.op.name for value in times.graph.ops] == ["matmul", "multiply"]
    assert len(times.forward) == 2
    assert [times.graph.values[k].name for k in times.graph.inputs] == ["batch['x']", "scale"]


def test_times_of_no_single_graph_and_of_changing_steps_are_refused():
    inner = tn.compile(lambda x: np.tanh(x) * x)
    mixed = tn.profile(lambda x: (inner(x) + tn.tensor(x)).sum(), X)
    with pytest.raises(errors.GraphError, match="profile the compiled function alone"):
        mixed.times()
    lengths = iter(range(20))

    def growing(x):
        for _ in range(next(lengths)):
            x = np.tanh(x)
        return x

    with pytest.raises(errors.GraphError, match="does not do the same each time"):
        tn.profile(growing, tn.tensor(X)).times()


def test_after_an_error_nobody_watches():
    step = training()
    with pytest.raises(errors.ShapeError):
        tn.profile(step, np.ones((5, 3), np.float32), LABELS)
    compiled = tn.compile(step)
    compiled(X, LABELS)
    assert len(compiled.programs) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tn.profile(training()(X, LABELS)), "step is Tensor, expected a function"),
        (lambda: tn.profile(training(), X, LABELS, calls=0), "calls is a positive integer, got 0"),
        (lambda: tn.profile(lambda: None).by("layer"), "columns are op, module, phase, got 'layer'"),
        (lambda: tn.profile(lambda: None).by(), "got none"),
    ],
)
def test_wrong_calls_say_what_to_write(call, message):
    with pytest.raises(errors.TinygradError, match=re.escape(message)):
        call()
