"""Shares of batches: together the ranks have all rows, each its own, and every rank sees the same order."""

import collections
import threading
from itertools import chain

import numpy as np
import pytest

from tinygrad_nn.data import Batches, batches, batches_forever, batches_with_replacement, shard
from tinygrad_nn.errors import ArgumentError, RankError, ShapeError
from tinygrad_nn.parallel import threads

ROWS = np.arange(23)


def shares(size, make, count=None):
    """Return, for each rank, the lists of rows that it gets."""

    def work(comm):
        parts = shard(make(comm.rank), comm)
        steps = zip(range(count), parts, strict=False) if count else enumerate(parts)
        return [x.tolist() for _, (x, *_) in steps]

    return threads(size, work, timeout=10)


def joined(parts):
    return [list(chain(*several)) for several in zip(*parts, strict=True)]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_shares_of_all_ranks_are_the_batches(size, shuffle):
    make = lambda rank=0: batches(ROWS, size=6, rng=3, shuffle=shuffle)
    parts = shares(size, make)
    assert joined(parts) == [x.tolist() for (x,) in make()]
    lengths = [sorted(map(len, several)) for several in zip(*parts, strict=True)]
    assert all(several[-1] - several[0] <= 1 for several in lengths)


@pytest.mark.parametrize("make", [batches_forever, batches_with_replacement])
def test_the_shares_of_a_stream_are_its_batches(make):
    expected = [x.tolist() for _, (x,) in zip(range(7), make(ROWS, size=6, rng=3), strict=False)]
    assert joined(shares(3, lambda rank: make(ROWS, size=6, rng=3), count=7)) == expected


def test_rows_that_are_held_out_stay_so():
    rest, (held,) = batches(ROWS, size=6, rng=3).hold_out(0.3)
    parts = shares(2, lambda rank: batches(ROWS, size=6, rng=3).hold_out(0.3)[0])
    assert sorted(chain(*joined(parts))) == sorted(set(ROWS.tolist()) - set(held.tolist()))
    assert joined(parts) == [x.tolist() for (x,) in rest]


@pytest.mark.parametrize("make", [batches, batches_forever])
def test_an_unpredictable_order_is_that_of_rank_0(make):
    parts = joined(shares(2, lambda rank: make(ROWS, size=6), count=3))
    assert len(set(chain(*parts))) == 18


class Counted(np.ndarray):
    """An array that counts which thread takes how many of its rows."""

    def __array_finalize__(self, other):
        self.taken = getattr(other, "taken", None) or collections.Counter()

    def __getitem__(self, rows):
        if isinstance(rows, np.ndarray):
            self.taken[threading.current_thread()] += len(rows)
        return super().__getitem__(rows)


def test_only_the_rows_of_the_rank_are_gathered(monkeypatch):
    monkeypatch.setattr(np, "asarray", lambda array: array)
    array = ROWS.view(Counted)
    threads(2, lambda comm: list(shard(batches(array, size=6, rng=0), comm)), timeout=10)
    assert sorted(array.taken.values()) == [11, 12]


def test_batches_that_a_user_changes_are_shared_out_as_changed():
    class Doubled(Batches):
        def __iter__(self):
            return ((2 * x,) for (x,) in super().__iter__())

    make = lambda rank: Doubled((ROWS,), size=6, rng=0, shuffle=False, drop_last=False)
    assert sorted(chain(*joined(shares(2, make)))) == (2 * ROWS).tolist()


def test_containers_of_arrays_are_cut_row_by_row():
    pair = collections.namedtuple("pair", "a b")
    batch = ({"x": ROWS, "y": [ROWS, ROWS[:, None]]}, pair(ROWS, ROWS.tolist()), None, ROWS.tolist())

    def work(comm):
        ((inputs, targets, weights, plain),) = shard([batch], comm)
        assert weights is None
        assert type(targets) is pair
        assert inputs["y"][1].shape == (len(plain), 1)
        return inputs["x"].tolist(), targets.b.tolist(), plain.tolist()

    first, second = threads(2, work, timeout=10)
    assert [a + b for a, b in zip(first, second, strict=True)] == [ROWS.tolist()] * 3


def test_batches_by_name_are_cut_row_by_row():
    def work(comm):
        return [
            {name: x.tolist() for name, x in batch.items()}
            for batch in shard([{"x": ROWS, "y": -ROWS}], comm)
        ]

    (first,), (second,) = threads(2, work, timeout=10)
    assert first["x"] + second["x"] == ROWS.tolist()
    assert first["y"] + second["y"] == (-ROWS).tolist()


@pytest.mark.parametrize("sized", [True, False])
def test_other_batches_on_a_rank_are_refused_by_all(sized):
    def make(rank):
        made = [(ROWS + rank, ROWS)]
        return made if sized else (batch for batch in made)

    with pytest.raises(RankError, match="do not have the same batches.*\n.*rng=0 and not rng=None"):
        shares(2, make)


def test_other_numbers_of_batches_are_refused_by_all():
    with pytest.raises(RankError, match="different numbers of batches: 1, 2"):
        shares(2, lambda rank: [(ROWS,)] * (rank + 1))
    with pytest.raises(RankError, match="some ranks have no more batches"):
        shares(2, lambda rank: (batch for batch in [(ROWS,)] * (rank + 1)))


def test_no_batches_are_none_for_all():
    assert shares(2, lambda rank: iter(())) == [[], []]


def test_it_goes_on_where_a_state_says():
    def work(comm):
        parts = shard(batches(ROWS, size=6, rng=0), comm)
        assert len(parts) == 4
        epoch = [x.tolist() for (x,) in parts]
        iterator = iter(shard(batches(ROWS, size=6, rng=0), comm))
        again = shard(batches(ROWS, size=6, rng=5), comm)
        first = [next(iterator)[0].tolist()]
        other = shard(begun := batches(ROWS, size=6, rng=0), comm)
        next(iter(other))
        again.load_state_dict(other.state_dict())
        return begun is not None and first + [x.tolist() for (x,) in again] == epoch

    assert threads(2, work, timeout=10) == [True, True]


def test_what_cannot_be_shared_out_is_refused():
    def work(comm):
        parts = shard(batches(ROWS, size=6, rng=0), comm)
        with pytest.raises(ArgumentError, match="got a Shard already"):
            shard(parts, comm)
        with pytest.raises(ArgumentError, match="shard: batches are shared out among ranks, got 3"):
            shard(3, comm)
        with pytest.raises(ArgumentError, match="shard: comm is a communicator"):
            shard(batches(ROWS, size=6, rng=0), 2)

    threads(1, work)


@pytest.mark.parametrize("arrays", [(np.ones((4, 2)), np.ones(4)), [np.ones((4, 2))] * 3, {"x": np.ones(4)}])
def test_what_is_no_batch_is_refused_and_not_taken_for_rows(arrays):
    with pytest.raises(ArgumentError, match=r"(?s)a batch is a tuple of arrays.*\n.*tn.data.batches\(X, y"):
        threads(2, lambda comm: list(shard(arrays, comm)), timeout=10)


def test_a_number_in_a_batch_has_no_rows():
    with pytest.raises(ShapeError, match="what a batch consists of has rows, got 3"):
        threads(2, lambda comm: list(shard([(ROWS, 3)], comm)), timeout=10)
