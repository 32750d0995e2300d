"""model.summary: nothing left out, nothing counted twice."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn


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
