"""What a program takes for granted: a change of it is seen on the next call; what a step may not change is refused."""

import dataclasses
import warnings

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import network
from tests.support.steps import assert_twins, pair, problem, training_step
from tinygrad_nn import errors
from tinygrad_nn.compiler import compiled as compiled_module

X = np.array([[1.0, -2.0, 3.0]])


@dataclasses.dataclass
class Settings:
    scale: float = 2.0


class Reading(tn.nn.Module):
    """A module whose `forward` reads attributes of many kinds."""

    power = 1

    def __init__(self):
        self.factor = 1.5
        self.settings = Settings()
        self.table = {"shift": [0.25], "names": ("a", "b")}
        self.layers = [np.tanh]
        self.mean = np.zeros(3)
        self.constant = tn.tensor(np.ones(3))
        self.weight = tn.tensor(np.ones(3), requires_grad=True)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        x = x**self.power * self.factor * self.settings.scale + self.table["shift"][0] - self.mean
        return x * self.constant * self.weight


def replace_setting(m):
    m.settings = Settings(7.0)


def set_value(tensor, value):
    tensor.data = value


CHANGES = {
    "a number": lambda m: setattr(m, "factor", 3.0),
    "an equal number of another type": lambda m: setattr(m, "factor", np.float32(1.5)),
    "a number that the class has": lambda m: setattr(m, "power", 2),
    "plain data with attributes": lambda m: setattr(m.settings, "scale", 5.0),
    "another object of plain data": replace_setting,
    "a list in a dict": lambda m: m.table["shift"].__setitem__(0, 4.0),
    "an item more in a list": lambda m: m.layers.append(np.sin),
    "another function in a list": lambda m: m.layers.__setitem__(0, np.cos),
    "an item less in a list": lambda m: m.layers.clear(),
    "a buffer that is assigned anew": lambda m: setattr(m, "mean", np.ones(3)),
    "a buffer that is written": lambda m: m.mean.__setitem__(0, 9.0),
    "a constant tensor that is assigned anew": lambda m: setattr(m, "constant", tn.tensor(np.arange(3.0))),
    "the array of a constant tensor": lambda m: set_value(m.constant, np.arange(3.0)),
    "values of a constant tensor": lambda m: m.constant.data.__setitem__(1, -4.0),
    "the array of a parameter": lambda m: set_value(m.weight, np.arange(3.0)),
    "another parameter": lambda m: setattr(m, "weight", tn.tensor(np.arange(3.0), requires_grad=True)),
    "a state that is loaded": lambda m: m.load_state_dict({k: v + 1 for k, v in m.state_dict().items()}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_forward_reads_is_seen_on_the_next_call(change, backend):
    m = Reading()
    step = tn.compile(lambda x: m(x), backend)
    for _ in range(2):
        np.testing.assert_allclose(step(X).data, m(X).data, rtol=1e-12)
    before = m(X).data
    change(m)
    for _ in range(2):
        np.testing.assert_allclose(step(X).data, m(X).data, rtol=1e-12)
    assert change is CHANGES["an equal number of another type"] or not np.array_equal(before, m(X).data)


def test_values_that_are_set_anew_to_what_they_were_are_not_captured_again():
    m = Reading()
    step = tn.compile(lambda x: m(x), "numpy")
    for _ in range(3):
        m.factor, m.power, m.table["names"] = float("1.5"), 1, tuple("ab")
        m.train()
        step(X)
    assert len(step.programs) == 1
    m.eval()
    step(X)
    assert len(step.programs) == 2


def test_programs_of_training_and_evaluation_are_both_kept():
    m = Reading()
    step = tn.compile(lambda x: m(x), "numpy")
    for _ in range(5):
        step(X)
        m.train(not m.training)
    assert len(step.programs) == 2


def trained():
    model = network()
    optimizer = tn.optim.Adam(model.parameters(), lr=0.01)
    return model, optimizer, training_step(model, optimizer)


def test_freezing_and_thawing_a_parameter_is_followed(backend):
    (twin, _, eager), (model, _, step) = pair(trained, backend)
    leaves = [[m[0].weight, m[0].bias, m[2].weight, m[2].bias] for m in (model, twin)]
    x, labels = problem()
    for frozen in (None, 0, 3, None, 0):
        for parameters in leaves:
            for k, parameter in enumerate(parameters):
                parameter.requires_grad = k != frozen
        for _ in range(2):
            np.testing.assert_allclose(step(x, labels).data, eager(x, labels).data, rtol=1e-5)
            assert_twins(twin, model)
            for a, b in zip(*leaves, strict=True):
                np.testing.assert_allclose(a.data, b.data, rtol=1e-5, atol=1e-6)


def test_a_constant_that_is_thawed_gets_a_gradient(backend):
    scale = tn.tensor(np.full(3, 2.0))
    w = tn.tensor(np.ones(3), requires_grad=True)

    def step(x):
        w.grad = None
        (w * scale * x).sum().backward()
        return w * 1

    compiled = tn.compile(step, backend)
    compiled(X)
    scale.requires_grad = True
    compiled(X)
    np.testing.assert_array_equal(scale.grad, X[0])


class Counting(tn.nn.Module):
    def __init__(self):
        self.calls = 0
        self.seen = []
        self.total = np.zeros(3)

    def forward(self, x):
        self.change(x)
        return x * 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m, x: setattr(m, "calls", m.calls + 1), r"Counting\.calls has changed"),
        (lambda m, x: setattr(m, "latest", x), r"Counting\.latest has changed"),
        (lambda m, x: m.seen.append(x), r"Counting\.seen has changed"),
        (lambda m, x: m.total.__iadd__(1), r"an array of shape \(3,\) was written"),
        (lambda m, x: setattr(m, "total", m.total + 1), r"Counting\.total has changed"),
    ],
)
def test_a_module_that_a_step_changes_is_refused_and_put_back(change, text):
    m = Counting()
    Counting.change = change
    before = dict(vars(m))
    with pytest.raises(errors.CaptureError, match=text + r"(.|\n)*hint"):
        tn.compile(lambda x: m(x), "numpy")(X)
    assert vars(m) == before
    assert m.seen == []
    assert not m.total.any()


def test_an_update_of_the_parameters_that_a_model_lists_follows_a_layer_that_is_replaced(backend):
    model = tn.nn.Module()
    model.first, model.second = tn.nn.Dense(3, 2, rng=0), tn.nn.Dense(2, 1, rng=0)

    def update():
        with tn.no_grad():
            for parameter in model.parameters():
                parameter -= 0.5

    compiled = tn.compile(update, backend)
    compiled()
    model.first = tn.nn.Dense(3, 2, rng=1)
    before = [parameter.data.copy() for parameter in model.parameters()]
    compiled()
    for parameter, was in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.data, was - 0.5)
    assert len(compiled.programs) == 2


def test_a_mode_that_a_step_switches_before_it_calls_a_model_is_refused():
    model = tn.nn.Sequential(tn.nn.Dense(3, 2, rng=0)).eval()
    with pytest.raises(errors.CaptureError, match=r"training has changed"):
        tn.compile(lambda x: model.train()(x), "numpy")(X.astype(np.float32))
    assert not model.training


def test_an_error_in_a_step_leaves_its_modules_as_they_were():
    m = Counting()

    def change(m, x):
        m.calls += 1
        raise ZeroDivisionError

    Counting.change = change
    with pytest.raises(ZeroDivisionError):
        tn.compile(lambda x: m(x), "numpy")(X)
    assert m.calls == 0


class Setting(tn.nn.Module):
    """A module that sets an attribute and an array of its child before it calls it."""

    def __init__(self):
        self.child = Reading()

    def forward(self, x):
        self.child.factor += 1
        self.child.mean[:] = 5
        return self.child(x)


def test_what_a_module_does_to_one_inside_before_it_calls_it_is_put_back_too():
    m = Setting()
    with pytest.raises(errors.CaptureError, match=r"Setting\.child\.factor has changed"):
        tn.compile(lambda x: m(x), "numpy")(X)
    assert m.child.factor == 1.5
    assert not m.child.mean.any()


def test_a_list_of_many_items_is_data_and_not_looked_into():
    m = Counting()
    Counting.change = lambda m, x: None
    m.seen = list(range(1000))
    step = tn.compile(lambda x: m(x), "numpy")
    step(X)
    m.seen.append(1)
    step(X)
    assert len(step.programs) == 1


def test_a_step_that_is_captured_again_and_again_says_why_and_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(compiled_module, "KEPT", 12)
    step = tn.compile(lambda x, k: x * k, "numpy")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for k in range(30):
            assert step(X, k).data[0, 2] == 3 * k
    assert len(step.programs) == 12
    m = Reading()
    other = tn.compile(lambda x: m(x), "numpy")
    with warnings.catch_warnings(record=True) as told_too:
        warnings.simplefilter("always")
        for k in range(20):
            m.factor = k + 0.5
            np.testing.assert_allclose(other(X).data, m(X).data)
    assert len(other.programs) == 12
    texts = [str(w.message) for w in [*told, *told_too] if w.category is errors.UsageWarning]
    assert len(texts) == 2
    assert "captured 9 times" in texts[0]
    assert "plain Python value" in texts[0]
    assert "hint" in texts[0]
    assert "Reading.factor has changed" in texts[1]


def test_captures_are_counted_of_the_shapes_that_came_last():
    step = tn.compile(lambda x, k: x * k, "numpy")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for k in range(8):
            step(X, k)
        for n in range(1, 70):
            step(np.ones(n), 0.5)
        step(X, 8)
        assert not told
        for k in range(9, 17):
            step(X, k)
    assert len(told) == 1


def test_other_shapes_are_captured_without_a_word():
    step = tn.compile(lambda x: x * 2, "numpy")
    for k in range(1, 30):
        step(np.ones(k))


@pytest.mark.parametrize(
    "make", [np.array, np.float64, lambda x: tn.tensor(x, dtype=np.float64), lambda x: np.full(3, x)]
)
def test_arrays_that_a_step_uses_are_read_on_each_replay(make, backend):
    made = make(2.0)
    step = tn.compile(lambda x: x * made / 1.0 + made, backend)
    assert step(np.ones(3)).data[0] == 4
    array = made.data if isinstance(made, tn.Tensor) else made
    for value in (1.0, 5.0) if isinstance(array, np.ndarray) else ():
        array[...] = value
        assert step(np.ones(3)).data[0] == 2 * value


def test_python_numbers_that_a_step_uses_are_read_when_it_is_captured():
    number = [2.0]
    step = tn.compile(lambda x: x * number[0], "numpy")
    assert step(np.ones(3)).data[0] == 2
    number[0] = 3.0
    assert step(np.ones(3)).data[0] == 2


def test_a_network_whose_layers_are_replaced_is_captured_again():
    model = network()
    step = tn.compile(lambda x: model(x), "numpy")
    x, _ = problem()
    step(x)
    model.modules[1] = tn.nn.ReLU()
    np.testing.assert_allclose(step(x).data, model(x).data, rtol=1e-5)
    model.modules.append(tn.nn.Softmax())
    np.testing.assert_allclose(step(x).data, model(x).data, rtol=1e-5)


def test_a_gradient_by_a_module_follows_what_changes_in_it(backend):
    model = network()
    x, _ = problem()
    loss = lambda model, x: (model(x) ** 2).mean()
    step, eager = tn.compile(tn.value_and_grad(loss), backend), tn.value_and_grad(loss)

    def agree():
        for _ in range(2):
            value, g = step(model, x)
            expected, slope = eager(model, x)
            np.testing.assert_allclose(value.data, expected.data, rtol=1e-5)
            assert list(g) == list(slope)
            for name in g:
                np.testing.assert_allclose(g[name].data, slope[name].data, rtol=1e-4, atol=1e-7)

    agree()
    assert len(step.programs) == 1
    first = next(iter(model.parameters()))
    first.data *= 2
    agree()
    assert len(step.programs) == 1
    first.requires_grad = False
    agree()
    model.modules[1] = tn.nn.ReLU()
    agree()
    assert len(step.programs) == 3


def test_a_module_among_the_arguments_is_looked_at_without_being_called(backend):
    layer = tn.nn.Dense(3, 2, rng=0, dtype=float)
    step = tn.compile(lambda parts, x: (x @ parts["layer"].weight).sum(), backend)
    step({"layer": layer}, X)
    layer.weight = tn.tensor(np.ones((3, 2)), requires_grad=True)
    assert step({"layer": layer}, X).item() == 4
