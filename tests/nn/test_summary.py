"""model.summary: nothing left out, nothing counted twice."""

import sys
from functools import partial

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import SettingError
from tinygrad_nn.languages import width


class Residual(nn.Module):
    def __init__(self):
        self.inner = nn.Dense(4, 4, rng=0)
        self.scale = tn.tensor(np.ones(4, np.float32), requires_grad=True)
        self.seen = np.zeros(3)

    def forward(self, x):
        return x + self.inner(x) * self.scale


def test_a_summary_has_a_row_for_each_module_with_shape_and_parameters():
    shared = nn.Dense(4, 4, rng=0)
    model = nn.Sequential(shared, nn.Tanh(), shared, Residual(), nn.Dense(4, 10, bias=False, rng=1))
    summary = model.summary((4,))
    assert summary.rows == [
        ("0", "Dense(4 -> 4)", "(N, 4)", "20"),
        ("1", "Tanh()", "(N, 4)", ""),
        ("3", "Residual", "(N, 4)", "4"),
        ("3.inner", "Dense(4 -> 4)", "(N, 4)", "20"),
        ("4", "Dense(4 -> 10, bias=False)", "(N, 10)", "40"),
    ]
    assert summary.parameters == 84 == sum(p.size for p in model.parameters())
    assert repr(summary).endswith("Sequential: 84 parameters, float32, 336 bytes, 3 in buffers")


def test_a_shared_parameter_is_counted_once():
    first, second = nn.Dense(4, 4, rng=0), nn.Dense(4, 4, rng=1)
    second.weight = first.weight
    summary = nn.Sequential(first, second).summary()
    assert [row[3] for row in summary.rows] == ["20", "4 (shared)"]
    assert summary.parameters == 24


def test_a_summary_of_many_layers_is_not_truncated():
    model = nn.Sequential(*[nn.Dense(3, 3, rng=k) for k in range(200)])
    assert len(repr(model.summary((3,))).splitlines()) == 204


def test_a_summary_of_one_layer_has_one_row_and_is_shown_as_html():
    summary = nn.Dense(3, 4, rng=0).summary((3,))
    assert summary.rows == [("", "Dense(3 -> 4)", "(N, 4)", "16")]
    assert "<td>Dense(3 -&gt; 4)</td>" in summary._repr_html_()


def test_a_summary_changes_nothing():
    class Sensitive(nn.Module):
        def forward(self, x):
            assert not self.training
            return x

    model = nn.Sequential(Sensitive(), nn.Dense(2, 2, rng=0), nn.Tanh())
    model[2].forward = lambda x: x * 2
    before = [dict(vars(module)) for _, module in model.named_modules()]
    model.summary((2,))
    assert [dict(vars(module)) for _, module in model.named_modules()] == before
    assert model.training


@pytest.mark.parametrize(
    ("parameters", "text"), [(1, "4 bytes"), (300, "1.2 kB"), (300_000, "1.2 MB"), (300_000_000, "1.2 GB")]
)
def test_a_summary_gives_sizes_in_the_unit_that_fits(parameters, text):
    class Wide(nn.Module):
        def __init__(self):
            one = np.ones(1, np.float32)
            self.weight = tn.as_tensor(np.broadcast_to(one, parameters), requires_grad=True)

    assert f"{parameters:,} parameters, float32, {text}" in repr(Wide().summary())


def nested(depth):
    model = nn.Dense(2, 2, rng=0)
    for _ in range(depth):
        model = nn.Sequential(model)
    return model


def test_models_nested_deeper_than_python_calls_have_a_summary_and_a_repr():
    model = nested(1200)
    summary = model.summary()
    assert len(summary.rows) == 1200
    assert summary.rows[-1][1:] == ("Dense(2 -> 2)", "", "6")
    lines = repr(model).splitlines()
    assert lines[1200] == "  " * 1200 + "0: Dense(2 -> 2)"
    assert len(lines) == 2401


def test_the_work_of_a_summary_grows_with_the_number_of_modules(monkeypatch):
    calls = []
    named_children = nn.Module.named_children
    monkeypatch.setattr(nn.Module, "named_children", lambda module: calls.append(1) or named_children(module))
    counts = []
    for depth in (50, 100):
        calls.clear()
        str(nested(depth).summary())
        counts.append(len(calls))
    assert counts[1] < 2.1 * counts[0]


def test_a_model_that_can_be_called_has_a_summary_with_shapes():
    deepest = 10
    while True:
        try:
            nested(deepest + 10)(np.ones((1, 2), np.float32))
        except RecursionError:
            break
        deepest += 10
    limit = sys.getrecursionlimit()
    assert nested(deepest - 10).summary((2,)).rows[0][2] == "(N, 2)"
    assert sys.getrecursionlimit() == limit


def test_parameters_of_a_module_that_are_also_those_of_one_inside_are_counted_there():
    outer = Residual()
    outer.again = outer.inner.weight
    outer.twice = [outer.scale, outer.scale]
    assert [(row[0], row[3]) for row in nn.Sequential(outer).summary().rows] == [
        ("0", "4"),
        ("0.inner", "20"),
    ]


@pytest.mark.parametrize("shape", [784, (784,), [784], (None, 784)])
def test_the_shape_of_an_input_may_be_a_number_or_have_the_batch_axis_first(shape):
    assert nn.Dense(784, 10, rng=0).summary(shape).rows == [("", "Dense(784 -> 10)", "(N, 10)", "7,850")]


@pytest.mark.parametrize("shape", ["784", (None,), (28, None), (2.5,), True, -1])
def test_what_is_no_shape_of_an_input_is_refused_with_one(shape):
    with pytest.raises(
        SettingError, match=r"summary: input_shape is .*got (.|\n)*model\.summary\(\(784,\)\)"
    ):
        nn.Dense(784, 10, rng=0).summary(shape)


def test_columns_stand_under_each_other_where_names_are_of_full_width():
    class Layer(nn.Module):
        def forward(self, x):
            return x

    Layer.__name__ = "隠れ層"
    *table, _, _ = repr(
        nn.Sequential(nn.Dense(2, 3, rng=0), Layer(), nn.Dense(3, 2, rng=1)).summary(2)
    ).splitlines()
    places = {width(line[: line.index("(N")]) for line in table if "(N" in line}
    assert len(places) == 1


def test_plain_functions_are_rows_without_parameters():
    model = nn.Sequential(
        nn.Dense(2, 3, rng=0),
        np.tanh,
        nn.Sequential(tn.relu, partial(np.clip, a_min=0, a_max=None)),
        lambda x: x,
    )
    assert [row[:2] for row in model.summary((2,)).rows] == [
        ("0", "Dense(2 -> 3)"),
        ("1", "tanh"),
        ("2", "Sequential"),
        ("2.0", "relu"),
        ("2.1", "clip"),
        ("3", "lambda"),
    ]
    assert [row.parameters for row in model.summary().rows] == ["9", "", "", "", "", ""]
    assert repr(model).splitlines()[1:4] == ["  0: Dense(2 -> 3)", "  1: tanh", "  2: Sequential("]
    assert repr(nn.Residual(np.tanh)) == "Residual(\n  module: tanh\n)"


def test_a_function_that_a_module_holds_is_shown_and_its_class_or_forward_is_not():
    class Block(nn.Module):
        def __init__(self):
            self.activation, self.kind = np.tanh, nn.Dense
            self.dense = nn.Dense(2, 2, rng=0)

    block = Block()
    block.forward = lambda x: x
    assert repr(block) == "Block(\n  activation: tanh\n  dense: Dense(2 -> 2)\n)"


def test_one_function_is_shown_as_often_as_it_is_there():
    rows = nn.Sequential(np.tanh, np.tanh).summary().rows
    assert [row.name for row in rows] == ["0", "1"]
