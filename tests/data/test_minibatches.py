import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinygrad_nn import data
from tinygrad_nn.errors import CheckpointError, ShapeError

sizes = st.integers(1, 12)
row_counts = st.integers(1, 30)
EVERY_KIND = pytest.mark.parametrize(
    "kind",
    [data.batches, data.batches_forever, data.batches_with_replacement],
    ids=lambda kind: kind.__name__,
)


def rows_of(n):
    """Features from which the row number can be read again, and that row number."""
    return np.arange(n * 3.0).reshape(n, 3), np.arange(n)


@given(n=row_counts, size=sizes, shuffle=st.booleans(), drop_last=st.booleans(), seed=st.integers(0, 9))
@settings(deadline=None)
def test_an_epoch_has_every_row_once_in_batches_of_the_size(n, size, shuffle, drop_last, seed):
    assume(not drop_last or size <= n)
    X, y = rows_of(n)
    loader = data.batches(X, y, size=size, rng=seed, shuffle=shuffle, drop_last=drop_last)
    for _ in range(2):
        epoch = list(loader)
        assert len(epoch) == len(loader)
        lengths = [len(labels) for _, labels in epoch]
        rest = [] if drop_last or n % size == 0 else [n % size]
        assert lengths == [size] * (n // size) + rest
        seen = np.concatenate([labels for _, labels in epoch])
        assert len(set(seen.tolist())) == len(seen) == (n - n % size if drop_last else n)
        for features, labels in epoch:
            np.testing.assert_array_equal(features, X[labels])


def test_each_epoch_is_shuffled_anew_and_a_seed_repeats_them_all():
    def two_epochs():
        loader = data.batches(np.arange(100), size=10, rng=5)
        return [np.concatenate([rows for (rows,) in loader]).tolist() for _ in range(2)]

    first, second = two_epochs()
    assert first != second
    assert first != sorted(first)
    assert two_epochs() == [first, second]


def test_a_generator_is_advanced_by_each_epoch_and_may_be_shared():
    rng = np.random.default_rng(0)
    ((first,),) = data.batches(np.arange(50), size=50, rng=rng)
    ((second,),) = data.batches(np.arange(50), size=50, rng=rng)
    assert first.tolist() != second.tolist()


def test_without_shuffling_rows_keep_their_order_and_are_not_copied():
    X, y = rows_of(10)
    for number, (features, labels) in enumerate(data.batches(X, y, size=4, shuffle=False)):
        assert labels.tolist() == y[4 * number : 4 * number + 4].tolist()
        assert np.shares_memory(features, X)


def test_shuffled_batches_do_not_share_memory_with_the_data():
    X, y = rows_of(10)
    assert not any(np.shares_memory(features, X) for features, _ in data.batches(X, y, size=4, rng=0))


def test_batches_gather_only_the_rows_they_hold():
    # one row of memory that poses as 40 TB: no machine could copy the whole
    X = np.broadcast_to(np.zeros(1_000_000), (5_000_000, 1_000_000))
    for kind in (data.batches, data.batches_forever, data.batches_with_replacement):
        (batch,) = next(iter(kind(X, size=2, rng=0)))
        assert type(batch) is np.ndarray
        assert batch.shape == (2, 1_000_000)


@given(n=row_counts, size=sizes, seed=st.integers(0, 9))
@settings(deadline=None)
def test_batches_forever_are_full_and_span_epochs_without_losing_a_row(n, size, seed):
    X, y = rows_of(n)
    steps = 3 * n // size + 1
    drawn = list(itertools.islice(data.batches_forever(X, y, size=size, rng=seed), steps))
    assert {len(labels) for _, labels in drawn} == {size}
    stream = np.concatenate([labels for _, labels in drawn])
    for epoch in range(len(stream) // n):
        assert sorted(stream[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))
    for features, labels in drawn:
        np.testing.assert_array_equal(features, X[labels])


def test_batches_forever_begin_with_the_epoch_that_batches_begin_with():
    y = np.arange(60)
    epoch = np.concatenate([rows for (rows,) in data.batches(y, size=20, rng=3)])
    endless = data.batches_forever(y, size=20, rng=3)
    assert np.concatenate([next(endless)[0] for _ in range(3)]).tolist() == epoch.tolist()


def test_batches_with_replacement_are_uniform_and_independent():
    n, size = 5, 50_000
    ((rows,),) = itertools.islice(data.batches_with_replacement(np.arange(n), size=size, rng=0), 1)
    frequencies = np.bincount(rows, minlength=n) / size
    np.testing.assert_allclose(frequencies, 1 / n, atol=0.01)
    same_as_before = np.mean(rows[1:] == rows[:-1])
    assert abs(same_as_before - 1 / n) < 0.01


def test_batches_with_replacement_take_the_same_rows_of_every_array():
    X, y = rows_of(9)
    for features, labels in itertools.islice(data.batches_with_replacement(X, y, size=20, rng=0), 3):
        np.testing.assert_array_equal(features, X[labels])


@EVERY_KIND
def test_batches_take_lists_as_arrays(kind):
    features, labels = next(iter(kind([[1, 2], [1, 2]], ["a", "a"], size=2, rng=0)))
    assert features.tolist() == [[1, 2], [1, 2]]
    assert labels.tolist() == ["a", "a"]


@EVERY_KIND
def test_batches_keep_dtypes(kind):
    arrays = [np.zeros(4, dtype) for dtype in (np.float32, np.uint8, np.bool_, np.int64)]
    assert [part.dtype for part in next(iter(kind(*arrays, size=3, rng=0)))] == [
        part.dtype for part in arrays
    ]


@EVERY_KIND
def test_bad_sizes_are_refused_at_the_call(kind):
    for size in (0, -3, 1.5, True):
        with pytest.raises(ValueError, match=f"batches: size is a positive integer, got {size}"):
            kind(np.arange(3), size=size)


@EVERY_KIND
def test_arrays_that_have_no_common_number_of_rows_are_refused_at_the_call(kind):
    with pytest.raises(ShapeError, match=r"\(3, 2\), \(4,\)"):
        kind(np.zeros((3, 2)), np.zeros(4), size=1)
    with pytest.raises(ShapeError, match=r"\(\)"):
        kind(np.zeros(3), np.float64(1), size=1)
    with pytest.raises(ShapeError, match=r"\(0, 5\)"):
        kind(np.zeros((0, 5)), size=1)


@EVERY_KIND
def test_no_arrays_at_all_are_refused_at_the_call(kind):
    with pytest.raises(ValueError, match="no arrays"):
        kind(size=1)


def test_dropping_the_only_batch_is_refused():
    with pytest.raises(ValueError, match="no batch of 3 rows"):
        data.batches(np.arange(3), size=4, drop_last=True)


@pytest.mark.parametrize("kind", [data.batches_forever, data.batches_with_replacement])
def test_a_stream_refuses_the_state_of_other_data_and_goes_on_as_before(kind):
    stream, twin, other = (kind(np.arange(n), size=3, rng=1) for n in (8, 8, 9))
    next(stream), next(twin)
    with pytest.raises(CheckpointError, match="the state is of 9 rows, this stream has 8"):
        stream.load_state_dict(other.state_dict())
    for _ in range(4):
        assert next(stream)[0].tolist() == next(twin)[0].tolist()


BAD_STATES = [
    ("taken", -1),
    ("taken", 5),
    ("taken", 1.0),
    ("taken", True),
    ("taken", "2"),
    ("taken", 10**40),
    ("rows", 10.0),
    ("size", None),
    ("now", None),
    ("now", {}),
    ("now", np.random.MT19937(0).state),
    ("drawn_from", None),
    ("drawn_from", {"bit_generator": "PCG64"}),
    ("drawn_from", np.random.PCG64(0).state | {"uinteger": -1}),
]


@pytest.mark.parametrize(("name", "value"), BAD_STATES, ids=lambda x: repr(x)[:20])
def test_batches_refuse_a_state_that_is_none_and_go_on_as_before(name, value):
    loader, twin = (data.batches(np.arange(10), size=3, rng=1) for _ in range(2))
    iterator, other = iter(loader), iter(twin)
    next(iterator), next(other)
    state = loader.state_dict() | {name: value}
    missing = {key: item for key, item in state.items() if key != name}
    for bad in (state, missing, [], None, 3):
        with pytest.raises(CheckpointError, match="the state does not fit this Batches"):
            loader.load_state_dict(bad)
    assert [rows.tolist() for (rows,) in iterator] == [rows.tolist() for (rows,) in other]
    assert [rows.tolist() for (rows,) in loader] == [rows.tolist() for (rows,) in twin]


def test_all_batches_of_an_epoch_may_have_been_taken():
    loader = data.batches(np.arange(10), size=3, rng=1)
    for _ in loader:
        state = loader.state_dict()
    assert state["taken"] == len(loader)
    other = data.batches(np.arange(10), size=3, rng=2)
    other.load_state_dict(state)
    assert list(other) == []
    assert [rows.tolist() for (rows,) in other] == [rows.tolist() for (rows,) in loader]


@pytest.mark.parametrize(
    "order",
    [[0, 1], np.array([0, 8]), np.array([-1]), np.array([0.0]), np.zeros((1, 1), int), None, "abc"],
    ids=repr,
)
def test_streams_refuse_an_order_of_rows_that_they_do_not_have(order):
    stream, twin = (data.batches_forever(np.arange(8), size=3, rng=1) for _ in range(2))
    with pytest.raises(CheckpointError, match="the state does not fit this Stream(.|\n)*wrong +order"):
        stream.load_state_dict(stream.state_dict() | {"order": order})
    assert [next(stream)[0].tolist() for _ in range(5)] == [next(twin)[0].tolist() for _ in range(5)]


def test_batches_show_their_arrays_in_a_line():
    x, y = np.zeros((20, 2)), np.arange(20)
    assert (
        repr(data.batches(x, y, size=6))
        == "Batches((20, 2) float64, (20,) int64; 4 batches of 6 rows, shuffled)"
    )
    assert "4 batches of 6 rows, in order" in repr(data.batches(x, y, size=6, shuffle=False))
    assert repr(data.batches_forever(x, size=6)) == "Stream((20, 2) float64; 6 rows at a time, without end)"
