"""Texts as integers, the pieces that a model learns from, and where tiny Shakespeare comes from."""

import hashlib

import numpy as np
import pytest

from tests.support import needs
from tinygrad_nn import data
from tinygrad_nn.data import Text, download, sequences, texts
from tinygrad_nn.errors import DatasetError, IndexingError, SettingError, ShapeError

PLAY = b"To be, or not to be\n" * 5


@pytest.mark.parametrize("characters", ["to be or not", "héllo 層 \U0001f600\n", "\ud800 alone", "", "aaa"])
def test_a_text_is_its_ids_and_back(characters):
    text = Text(characters)
    assert text.vocabulary == "".join(sorted(set(characters)))
    assert text.ids.dtype == np.int64
    assert text.decode(text.ids) == characters
    np.testing.assert_array_equal(text.encode(characters), text.ids)
    assert text.decode(np.concatenate([text.train, text.validation])) == characters


def test_the_end_of_a_text_is_for_validation():
    text = Text("abcdefghij", validation=0.3)
    assert (text.decode(text.train), text.decode(text.validation)) == ("abcdefg", "hij")
    assert Text("abc", validation=0).validation.size == 0
    assert repr(text) == "Text(10 characters, 10 different ones)"
    for share in (1, -0.1, 2, "a"):
        with pytest.raises(SettingError, match=r"validation, the share at the end, is a number in \[0, 1\)"):
            Text("abc", validation=share)


def test_what_is_not_in_the_text_is_named():
    text = Text("hello")
    with pytest.raises(SettingError, match="'x' at position 3 is not among the 4 characters"):
        text.encode("helxo")
    for ids, shown in (([0, 4], "4"), ([-1], "-1"), ([0.5], "0.5")):
        with pytest.raises(IndexingError, match=rf"decode: {shown} \(\w+\) is none of the ids 0 to 3"):
            text.decode(ids)
    with pytest.raises(ShapeError, match=r"got shape \(1, 2\)\n  hint   \[text.decode\(row\)"):
        text.decode([[0, 1]])
    assert text.decode(np.int64(1)) == "h"


def test_targets_are_inputs_moved_on_by_one():
    ids = np.arange(20)
    for stride in (1, 3, 6):
        x, y = sequences(ids, 6, stride=stride)
        np.testing.assert_array_equal(y, x + 1)
        assert x.shape[1] == 6
        np.testing.assert_array_equal(x[:, 0], np.arange(0, 14, stride))
        assert np.shares_memory(x, ids)
        assert not x.flags.writeable
    x, _ = sequences(ids, 19)
    assert x.shape == (1, 19)


def test_batches_of_sequences_are_those_of_arrays():
    ids = np.arange(100)
    for x, y in data.batches(*sequences(ids, 8, stride=8), size=5, shuffle=False):
        np.testing.assert_array_equal(y, x + 1)
    crops = data.batches_with_replacement(*sequences(ids, 8), size=5, rng=0)
    x, y = next(crops)
    assert x.shape == (5, 8)
    assert x.flags.writeable
    np.testing.assert_array_equal(y, x + 1)
    begins = {int(row[0]) for _, (x, _) in zip(range(100), crops, strict=False) for row in x}
    assert len(begins) > 80


def test_rows_too_short_and_lengths_that_are_none_are_refused():
    with pytest.raises(ShapeError, match=r"need a row of at least 9, got shape \(8,\)"):
        sequences(np.arange(8), 8)
    with pytest.raises(ShapeError, match=r"got shape \(4, 4\)"):
        sequences(np.zeros((4, 4)), 2)
    for settings in ({"length": 0}, {"length": 2.0}, {"length": 2, "stride": 0}):
        with pytest.raises(SettingError, match="sequences: .* is a positive integer"):
            sequences(np.arange(8), **settings)


def test_a_file_is_read_as_a_text_or_named(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("Größe\r\n".encode())
    assert data.text(path).decode(data.text(path).ids) == "Größe\n"
    for fault, contents in (("can't decode", b"\xff\xfe\xff"), ("No such file", None)):
        path.unlink()
        if contents:
            path.write_bytes(contents)
        with pytest.raises(DatasetError, match=rf"{path}: .*{fault}"):
            data.text(path)
        path.touch()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The cache, empty, where a short play stands for Shakespeare's."""
    monkeypatch.delenv("TINYGRAD_NN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "SHA256", hashlib.sha256(PLAY).hexdigest())
    return tmp_path / "cache" / "tinygrad_nn"


@pytest.fixture
def served(monkeypatch):
    """What the network serves, and how often it was asked."""
    answers = [PLAY]

    def fetch(url, limit):
        answers.append(url)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    monkeypatch.setattr(download, "fetch", fetch)
    return answers


def test_shakespeare_is_downloaded_once(cache, served):
    for _ in range(2):
        text = data.shakespeare()
        assert text.decode(text.ids) == PLAY.decode()
    assert served[1:] == [texts.URL]
    assert (cache / texts.NAME).read_bytes() == PLAY
    assert data.shakespeare(validation=0.5).validation.size == len(PLAY) // 2


def test_something_else_from_the_network_is_neither_used_nor_kept(cache, served):
    for answer in (b"<html>", DatasetError("unplugged")):
        served[0] = answer
        with pytest.raises(DatasetError, match=f"{texts.URL}: .*\n.*\n.*TINYGRAD_NN_DATA") as caught:
            data.shakespeare()
        assert str(cache) in str(caught.value)
        assert not cache.exists()


def test_a_damaged_play_in_the_cache_is_replaced(cache, served):
    cache.mkdir(parents=True)
    (cache / texts.NAME).write_bytes(PLAY[:-1])
    with pytest.warns(UserWarning, match="removing a damaged file: .*SHA-256"):
        data.shakespeare()
    assert (cache / texts.NAME).read_bytes() == PLAY


def test_a_play_that_cannot_be_kept_is_there_all_the_same(cache, served):
    cache.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="tiny Shakespeare is not kept"):
        assert data.shakespeare().ids.size == len(PLAY)


def test_a_folder_of_the_user_must_hold_the_play(cache, served, tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(DatasetError, match=rf"{own / texts.NAME}: .*No such file"):
        data.shakespeare(own)
    (own / texts.NAME).write_bytes(b"another text")
    monkeypatch.setenv("TINYGRAD_NN_DATA", str(own))
    with pytest.raises(DatasetError, match=r"SHA-256 .*\n  hint   tn.data.text\(path\)"):
        data.shakespeare()
    (own / texts.NAME).write_bytes(PLAY)
    assert data.shakespeare().ids.size == len(PLAY)
    assert len(served) == 1


@needs.shakespeare
def test_tiny_shakespeare_itself():
    text = data.shakespeare()
    assert len(text.ids) == texts.SIZE
    assert text.vocabulary == "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert text.decode(text.train[:14]) == "First Citizen:"
