"""Distributed: with the gradients of all ranks an optimizer does what it does with all rows."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import ArgumentError, GraphError, NonFinite, RankError, SettingError
from tinygrad_nn.nn.losses import cross_entropy, mse
from tinygrad_nn.optim import Distributed
from tinygrad_nn.parallel import threads

X = np.random.default_rng(0).normal(size=(23, 5))
Y = np.arange(23) % 3
WEIGHTS = np.random.default_rng(1).uniform(0, 2, size=23)


def network(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Dense(5, 4, rng=rng, dtype=dtype), nn.Tanh(), nn.Dense(4, 3, rng=rng, dtype=dtype)
    )


def weights(model):
    return {name: array.copy() for name, array in model.state_dict().items()}


def largest_difference(one, other):
    return max(np.abs(one[name] - other[name]).max() for name in one)


def alone(step, dtype=np.float64, epochs=2, size=10):
    """Train in one process, with batches of 10, 10 and 3 rows."""
    model = network(dtype=dtype)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for k in range(0, len(X), size):
            rows = slice(k, k + size)
            step(model, optimizer, X[rows], Y[rows], WEIGHTS[rows], optimizer.step)
    return weights(model)


def together(size, step, dtype=np.float64, **options):
    """Train likewise with ranks, which begin with other weights each; return those of all in the end."""

    def work(comm):
        model = network(seed=comm.rank, dtype=dtype)
        optimizer = Distributed(optim.Adam(model.parameters(), lr=0.05), comm, **options)
        for _ in range(2):
            batches = tn.data.batches(X, Y, WEIGHTS, size=10, shuffle=False)
            for x, y, w in tn.data.shard(batches, comm):
                step(model, optimizer, x, y, w, optimizer.step)
        return weights(model)

    return threads(size, work, timeout=20)


def mean_step(model, optimizer, x, y, w, take):
    optimizer.zero_grad()
    if len(x):
        cross_entropy(model(x), y).backward()
    take(rows=len(x)) if isinstance(optimizer, Distributed) else take()


def weighted_step(model, optimizer, x, y, w, take):
    optimizer.zero_grad()
    if len(x):
        cross_entropy(model(x), y, sample_weight=w).backward()
    take(rows=w.sum()) if isinstance(optimizer, Distributed) else take()


def sum_step(model, optimizer, x, y, w, take):
    optimizer.zero_grad()
    if len(x):
        cross_entropy(model(x), y, reduction="sum").backward()
    take()


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("step", "options"),
    [(mean_step, {}), (weighted_step, {}), (sum_step, {"reduction": "sum"})],
    ids=["mean", "weighted", "sum"],
)
def test_ranks_end_where_one_process_does_with_uneven_batches_and_empty_ones(size, step, options):
    # With four ranks one of them has no row of a batch of three.
    expected, found = alone(step), together(size, step, **options)
    assert all(largest_difference(found[0], other) == 0 for other in found)
    assert largest_difference(expected, found[0]) < 1e-14


def test_float32_ends_as_close_as_its_digits_allow():
    found = together(3, mean_step, np.float32)
    assert largest_difference(alone(mean_step, np.float32), found[0]) < 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_compiled_step_does_the_same(backend, dtype):
    def compiled_step(model, optimizer, x, y, w, take):
        steps.setdefault(id(optimizer), tn.compile(step, backend=backend))(model, x, y, optimizer)

    def step(model, x, y, optimizer):
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        if isinstance(optimizer, Distributed):
            optimizer.step(rows=len(x))
        else:
            optimizer.step()
        return loss

    steps = {}
    found = together(2, compiled_step, dtype)
    assert largest_difference(found[0], found[1]) == 0
    assert largest_difference(alone(mean_step, dtype), found[0]) < (1e-6 if dtype is np.float32 else 1e-13)


@pytest.mark.parametrize(
    "rows", [lambda x: np.int64(len(x)), lambda x: np.float32(len(x)), lambda x: np.array(len(x))]
)
@pytest.mark.parametrize("size", [1, 2])
def test_rows_are_a_number_of_any_kind(size, rows):
    def step(model, optimizer, x, y, w, take):
        optimizer.zero_grad()
        if len(x):
            cross_entropy(model(x), y).backward()
        take(rows=rows(x))

    assert largest_difference(alone(mean_step), together(size, step)[0]) < 1e-14


def test_a_compiled_step_takes_numbers_of_numpy_as_rows():
    def work(comm):
        model = network()
        optimizer = Distributed(optim.SGD(model.parameters(), lr=0.5), comm)

        @tn.compile
        def step(x, y):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step(rows=np.int64(len(x)))

        step(X[:5], Y[:5])
        step(X[:5], Y[:5])
        return len(step.programs)

    assert threads(2, work, timeout=20) == [1, 1]


def test_a_compiled_step_takes_a_divisor_that_it_computes():
    def work(comm):
        model = network()
        optimizer = Distributed(optim.SGD(model.parameters(), lr=0.5), comm)

        @tn.compile
        def step(x, y, w):
            optimizer.zero_grad()
            cross_entropy(model(x), y, sample_weight=w).backward()
            optimizer.step(rows=w.sum())

        for x, y, w in tn.data.shard(
            [(X[:10], Y[:10], WEIGHTS[:10]), (X[10:20], Y[10:20], WEIGHTS[10:20])], comm
        ):
            step(x, y, w)
        return weights(model), len(step.programs)

    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for rows in (slice(0, 10), slice(10, 20)):
        weighted_step(model, optimizer, X[rows], Y[rows], WEIGHTS[rows], optimizer.step)
    for found, programs in threads(2, work, timeout=20):
        assert largest_difference(weights(model), found) < 1e-13
        assert programs == 1


def test_parameters_and_state_begin_as_those_of_rank_0():
    def work(comm):
        model = network(seed=comm.rank)
        inner = optim.SGD(model.parameters(), lr=0.1 * (comm.rank + 1), momentum=0.9)
        inner.state[0]["velocity"][...] = comm.rank
        optimizer = Distributed(inner, comm)
        return weights(model), optimizer.lr, optimizer.state_dict()["0.velocity"]

    (first, rate, velocity), (second, other_rate, other_velocity) = threads(2, work, timeout=10)
    assert largest_difference(first, second) == largest_difference(first, weights(network())) == 0
    assert rate == other_rate == 0.1
    assert not velocity.any()
    assert not other_velocity.any()


def one_step(comm, backward, rows, **options):
    """Step once with a scalar and a frozen-out parameter; return their values."""
    used, unused = (tn.tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer = Distributed(optim.SGD([used, unused], lr=0.5, weight_decay=0.5), comm, **options)
    backward(comm.rank, used, unused)
    optimizer.step(rows=rows(comm.rank))
    return used.data.tolist(), unused.data.tolist()


def test_a_parameter_without_a_gradient_on_all_ranks_stays_as_it_is():
    found = threads(2, lambda comm: one_step(comm, lambda rank, a, b: a.sum().backward(), lambda rank: 1))
    assert found == [([0.25, 0.25], [1.0, 1.0])] * 2


def test_a_parameter_that_one_rank_alone_uses_moves_everywhere():
    backward = lambda rank, a, b: (a if rank else b).sum().backward()
    assert threads(2, lambda comm: one_step(comm, backward, lambda rank: 1)) == [([0.5, 0.5], [0.5, 0.5])] * 2


def test_nan_of_a_rank_whose_rows_do_not_count_reaches_nobody():
    def backward(rank, a, b):
        ((a if rank else a * np.nan).sum() + (b.sum() * np.nan if not rank else 0)).backward()

    found = threads(2, lambda comm: one_step(comm, backward, lambda rank: rank))
    assert found == [([0.25, 0.25], [1.0, 1.0])] * 2


def test_without_any_row_or_gradient_the_step_is_refused_everywhere():
    with pytest.raises(NonFinite, match="no row of this batch counts"):
        threads(2, lambda comm: one_step(comm, lambda rank, a, b: a.sum().backward(), lambda rank: 0))
    with pytest.raises(GraphError, match="none of the 2 parameters has a gradient"):
        threads(2, lambda comm: one_step(comm, lambda rank, a, b: None, lambda rank: 1))


def test_a_rank_with_rows_and_without_any_gradient_is_refused():
    def backward(rank, a, b):
        if not rank:
            a.sum().backward()

    with pytest.raises(GraphError, match="none of the 2 parameters has a gradient"):
        threads(2, lambda comm: one_step(comm, backward, lambda rank: 1), timeout=10)
    found = threads(2, lambda comm: one_step(comm, backward, lambda rank: 1 - rank), timeout=10)
    assert found == [([0.25, 0.25], [1.0, 1.0])] * 2


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rows", [-1, np.nan, np.inf, np.array(-1.0), np.ones(3), "3", None])
def test_rows_that_are_no_number_from_0_are_refused(rows, compiled):
    def work(comm):
        w = tn.tensor(np.zeros(2), requires_grad=True)
        optimizer = Distributed(optim.SGD([w], lr=1.0), comm)

        def step():
            w.sum().backward()
            optimizer.step(rows=rows)

        with pytest.raises(ArgumentError, match="rows"):
            (tn.compile(step) if compiled else step)()
        assert not w.data.any()

    threads(1, work)


def test_clipping_sees_the_summed_gradients():
    def backward(rank, a, b):
        (a * np.array([6.0, 0.0] if rank else [0.0, 8.0])).sum().backward()

    # The mean of (0, 8) and (6, 0) has the norm 5.
    def work(comm):
        w = tn.tensor(np.zeros(2), requires_grad=True)
        optimizer = Distributed(optim.SGD([w], lr=1.0), comm, clip=1.0)
        backward(comm.rank, w, None)
        optimizer.step(rows=1)
        return w.data

    for found in threads(2, work):
        np.testing.assert_allclose(found, [-0.6, -0.8])


def test_clipping_before_the_sum_is_refused_as_long_as_the_optimizer_is_there():
    def work(comm):
        w = tn.tensor(np.zeros(2), requires_grad=True)
        other = tn.tensor(np.zeros(2), requires_grad=True)
        optimizer = Distributed(optim.SGD([w], lr=1.0), comm)
        (w.sum() + other.sum()).backward()
        with pytest.raises(SettingError, match="gradients of one rank.*\n.*clip=1.0"):
            optim.clip_grad_norm([w], 1.0)
        optim.clip_grad_norm([other], 1.0)
        del optimizer
        return optim.clip_grad_norm([w], 1.0)

    assert threads(1, work) == [pytest.approx(2**0.5)]


def test_ranks_with_other_parameters_or_optimizers_are_refused():
    def work(comm, make):
        return Distributed(make(comm.rank), comm)

    def shapes(rank):
        return optim.SGD([tn.tensor(np.zeros(2 + rank), requires_grad=True)], lr=0.1)

    def kinds(rank):
        w = tn.tensor(np.zeros(2), requires_grad=True)
        return optim.Adam([w]) if rank else optim.SGD([w], lr=0.1)

    with pytest.raises(
        RankError, match=r"ranks differ in parameters: float64 \(2,\) on rank 0, float64 \(3,\) on"
    ):
        threads(2, lambda comm: work(comm, shapes), timeout=10)
    with pytest.raises(RankError, match="ranks differ in optimizer: SGD on rank 0, Adam on rank 1"):
        threads(2, lambda comm: work(comm, kinds), timeout=10)


def test_a_compiled_step_refuses_gradients_that_it_has_no_place_for():
    def work(comm):
        a, b = (tn.tensor(np.ones(2), requires_grad=True) for _ in range(2))
        optimizer = Distributed(optim.SGD([a, b], lr=0.5), comm)

        @tn.compile
        def step(x):
            optimizer.zero_grad()
            (a * x if comm.rank else b * a * x).sum().backward()
            optimizer.step(rows=1)

        step(np.ones(2))

    with pytest.raises(RankError, match="1 parameters have a gradient on other ranks and none on this one"):
        threads(2, work, timeout=10)


def test_what_makes_no_sense_is_refused():
    def work(comm):
        w = tn.tensor(np.zeros(2), requires_grad=True)
        inner = optim.SGD([w], lr=1.0)
        for wrong in ({"clip": -1.0}, {"clip": 0}, {"reduction": "none"}):
            with pytest.raises(SettingError, match="Distributed"):
                Distributed(inner, comm, **wrong)
        with pytest.raises(ArgumentError, match="Distributed: got <class"):
            Distributed(optim.SGD, comm)
        w.sum().backward()
        with pytest.raises(ArgumentError, match=r"optimizer.step\(rows=len\(x\)\)"):
            Distributed(inner, comm).step()
        with pytest.raises(ArgumentError, match="these are sums"):
            Distributed(inner, comm, reduction="sum").step(rows=3)
        with pytest.raises(ArgumentError, match="comm is a communicator"):
            Distributed(inner, None)

    threads(1, work)


def test_it_is_the_optimizer_in_all_else():
    def work(comm):
        model = network()
        groups = [
            {"parameters": model[0].parameters(), "lr": 0.1},
            {"parameters": model[2].parameters(), "lr": 1},
        ]
        inner = optim.SGD(groups, momentum=0.5)
        optimizer = Distributed(inner, comm)
        optimizer.lr = 0.5
        assert inner.lr == optimizer.lr == 0.5
        assert optimizer.rates is inner.rates
        assert optimizer.steps is inner.steps
        state = optimizer.state_dict()
        state["steps"][...] = 7
        optimizer.load_state_dict(state)
        assert int(optimizer.steps) == 7
        mse(model(X), np.zeros((23, 3))).backward()
        optimizer.zero_grad()
        assert all(p.grad is None for p in model.parameters())

    threads(1, work)
