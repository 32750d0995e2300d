"""Groups of parameters, each with a rate of its own."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.optim import SGD, Adagrad, Adam, AdamW, Lion, RMSprop, schedules

KINDS = [SGD, Adam, AdamW, RMSprop, Adagrad, Lion]


def pair(dtype=np.float64):
    return [tn.tensor(np.linspace(-1, 2, 4).astype(dtype), requires_grad=True) for _ in range(2)]


def groups(a, b):
    return [{"parameters": [a], "lr": 0.1}, {"parameters": [b], "lr": 0.01}]


def step(optimizer, parameters, k=0):
    for parameter in parameters:
        parameter.grad = np.sin(np.arange(4.0) + k).astype(parameter.dtype)
    optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_moves_as_its_parameters_would_alone_at_its_rate(kind):
    a, b = pair()
    c, d = pair()
    together, one, two = kind(groups(a, b)), kind([c], lr=0.1), kind([d], lr=0.01)
    for k in range(5):
        step(together, [a, b], k)
        step(one, [c], k)
        step(two, [d], k)
    np.testing.assert_array_equal(a.data, c.data)
    np.testing.assert_array_equal(b.data, d.data)


def test_a_group_without_a_rate_has_the_optimizers():
    a, b = pair()
    optimizer = SGD([{"parameters": [a]}, {"parameters": [b], "lr": 0.01}], lr=0.5)
    assert optimizer.rates.tolist() == [0.5, 0.01]
    assert optimizer.lr == 1.0
    optimizer = SGD([{"parameters": [a]}, {"parameters": [b], "lr": 0.01}], lr=schedules.linear(2.0, 0.0, 10))
    assert optimizer.rates.tolist() == [1.0, 0.01]


@pytest.mark.parametrize("how", ["at first", "assigned", "each epoch"])
def test_a_schedule_is_a_factor_of_the_rates_of_all_groups(how):
    a, b = pair()
    schedule = schedules.exponential(1.0, 0.5)
    optimizer = SGD(groups(a, b), lr=schedule if how == "at first" else None)
    if how == "assigned":
        optimizer.lr = schedule
    for k in range(3):
        if how == "each epoch":
            optimizer.lr = schedule(k)
        before = a.data.copy(), b.data.copy()
        step(optimizer, [a, b], k)
        np.testing.assert_allclose(before[0] - a.data, 0.1 * 0.5**k * a.grad, rtol=1e-12)
        np.testing.assert_allclose(before[1] - b.data, 0.01 * 0.5**k * b.grad, rtol=1e-12)


def test_a_plateau_lowers_the_rates_of_all_groups():
    model = nn.Dense(2, 1, rng=0)
    optimizer = SGD([{"parameters": [model.weight], "lr": 0.1}, {"parameters": [model.bias], "lr": 0.01}])
    plateau = tn.train.ReduceOnPlateau("fixed", patience=0, factor=0.5)
    x = np.ones((4, 2), np.float32)
    tn.train.fit(
        model,
        nn.losses.mse,
        optimizer,
        [(x, x[:, :1])],
        epochs=3,
        metrics={"fixed": lambda p, t: 1.0},
        callbacks=[plateau],
        progress=False,
    )
    assert optimizer.lr == 0.25
    assert optimizer.rates.tolist() == [0.1, 0.01]


def test_the_rates_of_groups_are_saved_and_restored_exactly(tmp_path):
    a, b = pair()
    optimizer = Adam(groups(a, b))
    step(optimizer, [a, b])
    optimizer.lr = 0.3
    tn.save(tmp_path / "o", optimizer=optimizer)
    c, d = (tn.tensor(x.data, requires_grad=True) for x in (a, b))
    again = Adam([{"parameters": [c], "lr": 5.0}, {"parameters": [d], "lr": 7.0}])
    tn.load(tmp_path / "o", optimizer=again)
    assert again.lr == 0.3
    assert again.rates.tolist() == [0.1, 0.01]
    for k in range(3):
        step(optimizer, [a, b], k)
        step(again, [c, d], k)
    np.testing.assert_array_equal([a.data, b.data], [c.data, d.data])
    for copied in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        step(copied, copied.parameters, 3)
        assert copied.rates.tolist() == [0.1, 0.01]
    step(optimizer, [a, b], 3)
    np.testing.assert_array_equal(copied.parameters[1].data, b.data)


def test_states_with_and_without_groups_do_not_take_each_others_place():
    a, b = pair()
    grouped, plain = SGD(groups(a, b)), SGD([a, b], lr=0.1)
    with pytest.raises(CheckpointError, match="missing     rates"):
        grouped.load_state_dict(plain.state_dict())
    with pytest.raises(CheckpointError, match="unexpected  rates"):
        plain.load_state_dict(grouped.state_dict())
    with pytest.raises(CheckpointError, match="wrong       rates"):
        grouped.load_state_dict(grouped.state_dict() | {"rates": np.array([0.1, -1.0])})
    assert grouped.rates.tolist() == [0.1, 0.01]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lr", [None, schedules.exponential(0.7, 0.9)])
def test_a_compiled_step_has_the_rates_of_groups(kind, lr, backend):
    ends = []
    for wrap in (lambda f: f, lambda f: tn.compile(f, backend)):
        model = nn.Sequential(
            nn.Dense(3, 4, rng=0, dtype=np.float64), nn.Dense(4, 2, rng=1, dtype=np.float64)
        )
        optimizer = kind(
            [
                {"parameters": model[0].parameters(), "lr": 0.02},
                {"parameters": model[1].parameters(), "lr": 0.001},
            ],
            **({} if lr is None else {"lr": lr}),
        )

        @wrap
        def once(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            nn.losses.mse(model(x), y).backward()
            optimizer.step()

        rng = np.random.default_rng(0)
        for k in range(5):
            once(rng.normal(size=(6, 3)), rng.normal(size=(6, 2)))
            if k == 2 and lr is None:
                optimizer.lr = 0.5
        ends.append([p.data for p in model.parameters()])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_frozen_parameter_of_a_group_stays_and_is_left_out():
    a, b = pair()
    b.requires_grad = False
    optimizer = SGD(groups(a, b))
    before = b.data.copy()
    a.grad = np.ones(4)
    optimizer.step()
    np.testing.assert_array_equal(b.data, before)
    b.requires_grad = True
    step(optimizer, [a, b])
    assert (b.data != before).any()


MODEL = nn.Dense(2, 3, rng=0)
W = MODEL.weight
REFUSED = {
    "PyTorch's key": (
        lambda: SGD([{"params": [W], "lr": 0.1}]),
        r'group 0 has \'params\'.*\n.*{"parameters": \[',
    ),
    "an option": (
        lambda: SGD([{"parameters": [W], "weight_decay": 0.1}], lr=1),
        r"SGD\(parameters, weight_decay=\.\.\.\)",
    ),
    "no parameters": (lambda: Adam([{"lr": 0.1}]), r"group 0 has no parameters"),
    "an empty group": (lambda: Adam([{"parameters": [W]}, {"parameters": []}]), "group 1 is empty"),
    "named pairs": (
        lambda: Adam(MODEL.named_parameters()),
        r"tuple\n  hint   model\.parameters\(\), without",
    ),
    "named pairs in a group": (
        lambda: Adam([{"parameters": MODEL.named_parameters()}]),
        r"group 0, parameter 0 .*tuple\n  hint   model\.parameters\(\)",
    ),
    "a dict": (
        lambda: Adam(dict(MODEL.named_parameters())),
        r"got a dict\n  hint   Adam\(model\.parameters\(\)",
    ),
    "a group alone": (lambda: Adam({"parameters": [W]}), r'got a dict\n  hint   Adam\(\[{"parameters"'),
    "groups among tensors": (
        lambda: Adam([{"parameters": [W]}, MODEL.bias]),
        "group 1 is a Tensor among groups",
    ),
    "a tensor": (lambda: Adam(W), r"got one tensor\n  hint   Adam\(\[w\]"),
    "a tensor in a group": (lambda: Adam([{"parameters": W}]), "group 0 has no list of parameters"),
    "a model in a group": (
        lambda: Adam([{"parameters": MODEL}]),
        r"group 0 has a model\n.*model\.parameters\(\)",
    ),
    "twice": (lambda: Adam([{"parameters": [W]}, {"parameters": [W]}]), "listed more than once"),
    "no rate": (
        lambda: SGD([{"parameters": [W], "lr": 1.0}, {"parameters": [MODEL.bias]}]),
        "group 1 has no rate",
    ),
    "a negative rate": (
        lambda: SGD([{"parameters": [W], "lr": -1.0}]),
        r"the lr of group 0 is a number in \[0, inf\)",
    ),
    "a rate of None": (
        lambda: SGD([{"parameters": [W], "lr": None}], lr=1),
        r"the lr of group 0 .* got None",
    ),
    "a schedule": (
        lambda: SGD([{"parameters": [W], "lr": schedules.cosine(0.1, 9)}]),
        r"a schedule of its own.*\n.*lr=optim\.schedules\.cosine\(1\.0",
    ),
    "no rate at all": (lambda: SGD([W]), r"SGD: lr is a number in \[0, inf\), got None"),
    "a number": (lambda: Adam(3), r"got 3\n  hint   Adam\(model\.parameters\(\)"),
    "lists": (
        lambda: Adam([[W], [MODEL.bias]]),
        r"list\n  hint   \[\*some, \*others\] in one list, or groups {",
    ),
    "pairs": (lambda: Adam([([W], 0.1)]), r"tuple\n  hint   .*, or groups {"),
    "names": (lambda: Adam(["weight"]), r"str\n  hint   model\.parameters\(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_are_no_groups_is_refused_with_the_line_to_write(name):
    make, text = REFUSED[name]
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.RMSprop([W], alpha=1.0), r"RMSprop: alpha is a number in \[0, 1\)"),
        (lambda: optim.RMSprop([W], momentum=-0.1), "RMSprop: momentum"),
        (lambda: optim.RMSprop([W], eps=-1), "RMSprop: eps"),
        (lambda: optim.Adagrad([W], lr_decay=-1), "Adagrad: lr_decay"),
        (lambda: optim.Adagrad([W], initial_accumulator_value=-1), "Adagrad: initial_accumulator_value"),
        (lambda: optim.Lion([W], betas=(0.9, 1.0)), r"Lion: betas\[1\]"),
        (lambda: optim.Lion([W], betas=0.9), "Lion: betas are two numbers"),
        (lambda: optim.Lion([W], weight_decay=float("nan")), "Lion: weight_decay"),
        (lambda: optim.RMSprop(pair(np.float16)), "float16 is too narrow"),
        (lambda: optim.Adagrad(pair(np.float16)), "float16 is too narrow"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_the_variance_of_equal_gradients_is_not_negative():
    w = tn.tensor(np.ones(50, np.float32), requires_grad=True)
    optimizer = optim.RMSprop([w], centered=True, alpha=0.5)
    for _ in range(200):
        w.grad = np.linspace(0.1, 3, 50, dtype=np.float32)
        optimizer.step()
    assert np.isfinite(w.data).all()
