"""Keras-style .npz archives: read strictly, written in one stroke."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from tinygrad_nn.data import read_npz, write_npz
from tinygrad_nn.errors import DatasetError, DtypeError

ARRAYS = {
    "x_train": np.arange(24, dtype=np.uint8).reshape(4, 3, 2),
    "y_train": np.array([3, 1, 4, 1]),
    "x_test": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "y_test": np.array([True, False]),
    "scalar": np.array(2.5, np.float16),
    "empty": np.zeros((0, 5), ">i4"),
}


@pytest.fixture
def path(tmp_path):
    write_npz(tmp_path / "data.npz", **ARRAYS)
    return tmp_path / "data.npz"


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, contents in members.items():
            file.writestr(name, contents)


def npy(array, **options):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, **options)
    return out.getvalue()


def with_header(text, payload=b""):
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + payload


def refused(path, match="."):
    with pytest.raises(DatasetError, match=match) as caught:
        read_npz(path)
    assert str(path) in str(caught.value)


def same(found):
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].flags.writeable


def test_what_is_written_is_read_by_us_and_by_numpy(path):
    same(read_npz(path))
    with np.load(path) as file:
        assert set(file) == set(ARRAYS)
        np.testing.assert_array_equal(file["x_train"], ARRAYS["x_train"])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, save):
    save(tmp_path / "numpy.npz", **ARRAYS)
    same(read_npz(tmp_path / "numpy.npz"))


def test_every_name_is_the_name_of_an_array(tmp_path):
    names = ("file", "allow_pickle", "arr_0", "kwds", "max_bytes")
    arrays = {name: np.full(2, k) for k, name in enumerate(names)}
    write_npz(tmp_path / "names.npz", **arrays)
    read = read_npz(tmp_path / "names.npz")
    assert {name: array.tolist() for name, array in read.items()} == {n: [k, k] for k, n in enumerate(names)}
    with np.load(tmp_path / "names.npz") as file:
        assert set(file) == set(names)


def test_every_version_of_the_header_is_read(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        archive(tmp_path / "version.npz", {"a.npy": npy(np.arange(3), version=version)})
        assert read_npz(tmp_path / "version.npz")["a"].tolist() == [0, 1, 2]


def test_an_archive_without_arrays_is_read_as_such(tmp_path):
    write_npz(tmp_path / "none.npz")
    assert read_npz(tmp_path / "none.npz") == {}


def test_what_is_no_number_is_not_written(path):
    before = path.read_bytes()
    for bad in (np.array([{}]), np.array(["a"]), np.array([1j])):
        with pytest.raises(DtypeError, match="labels has dtype"):
            write_npz(path, labels=bad)
    assert path.read_bytes() == before


@pytest.mark.case("H156")
@pytest.mark.parametrize(
    "bad", [np.array([{}], object), np.array(["a"]), np.array([1j]), np.zeros(2, [("a", "f4")])]
)
def test_objects_and_other_things_are_not_read(tmp_path, bad):
    np.savez(tmp_path / "bad.npz", good=np.zeros(3), bad=bad)
    refused(tmp_path / "bad.npz", r"'bad\.npy': arrays of dtype .* are not read")


def test_an_array_may_have_as_many_axes_as_numpy_allows(tmp_path):
    write_npz(tmp_path / "axes.npz", a=np.full((1,) * 64, 2.5))
    assert read_npz(tmp_path / "axes.npz")["a"].shape == (1,) * 64


@pytest.mark.case("H164")
def test_a_small_file_cannot_fill_the_memory(tmp_path):
    bomb = tmp_path / "bomb.npz"
    np.savez_compressed(bomb, zeros=np.zeros(100_000_000, np.uint8))
    assert bomb.stat().st_size < 200_000
    tracemalloc.start()
    refused(bomb, r"100,000,000 bytes, where 64,000,000 are allowed\n  hint   read_npz\(path, max_bytes=")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert read_npz(bomb, max_bytes=10**8)["zeros"].shape == (100_000_000,)


@pytest.mark.case("H164")
def test_arrays_are_counted_together(tmp_path):
    several = tmp_path / "several.npz"
    np.savez(several, a=np.zeros(10), b=np.zeros(10))
    with pytest.raises(DatasetError, match="80 bytes, where 70 are allowed"):
        read_npz(several, max_bytes=150)


@pytest.mark.case("H164")
def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path):
    for shape in ((2**40,), (2**62, 4), (2**63,), (-1,), (True,), (1.0,), (1,) * 65, "12"):
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape!r}}}"
        archive(tmp_path / "claims.npz", {"a.npy": with_header(text, bytes(4))})
        refused(tmp_path / "claims.npz")


PLAIN = "'fortran_order': False, 'shape': (1,)"
HOSTILE = [
    "{", "3", "{}", "__import__('os').abort()", "(" * 3000,
    "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}", f"{{'descr': '|O', {PLAIN}}}",
    f"{{'descr': 'nonsense', {PLAIN}}}", f"{{'descr': ('<f4', (3,)), {PLAIN}}}",
    f"{{'descr': '<f4', {PLAIN}, 'more': 1}}",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_headers_are_refused(tmp_path, text):
    archive(tmp_path / "hostile.npz", {"a.npy": with_header(text, bytes(4))})
    refused(tmp_path / "hostile.npz")


@pytest.mark.case("H165")
def test_truncated_longer_and_joined_archives_are_refused(path):
    blob = path.read_bytes()
    for damaged in [blob[:k] for k in range(0, len(blob), 7)] + [
        blob + b"\0",
        blob + b"x" * 30,
        blob + blob,
        b"x" + blob,
    ]:
        path.write_bytes(damaged)
        refused(path)


@pytest.mark.case("H165")
def test_no_changed_bit_of_the_data_changes_what_is_read(tmp_path):
    path = tmp_path / "small.npz"
    np.savez_compressed(path, a=np.arange(5))
    blob = path.read_bytes()
    start = blob.index(b"a.npy") + len(b"a.npy") + int.from_bytes(blob[28:30], "little")
    refusals = 0
    for position in range(start, blob.index(b"PK\x01\x02")):
        for bit in range(8):
            damaged = bytearray(blob)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                found = read_npz(path)  # the last byte of compressed data has bits that mean nothing
            except DatasetError:
                refusals += 1
            else:
                np.testing.assert_array_equal(found["a"], np.arange(5))
    assert refusals > 100


def test_a_member_longer_or_shorter_than_its_array_is_refused(tmp_path):
    whole = npy(np.arange(5))
    for contents in (whole + b"\0", whole[:-1], whole[:20], b""):
        archive(tmp_path / "member.npz", {"a.npy": contents})
        refused(tmp_path / "member.npz", r"'a\.npy'")


def test_a_member_that_ends_before_the_length_it_announces_is_refused(tmp_path):
    path = tmp_path / "short.npz"
    whole = npy(np.arange(5))
    archive(path, {"a.npy": whole[:-8]})
    blob = path.read_bytes()
    said, meant = struct.pack("<L", len(whole) - 8), struct.pack("<L", len(whole))
    assert blob.count(said) == 2, "the length of the member stands in two headers"
    path.write_bytes(blob.replace(said, meant))
    refused(path, r"'a\.npy': it has 32 of 40 bytes")


def test_a_header_longer_than_any_array_needs_is_not_read(tmp_path):
    path = tmp_path / "long.npz"
    start = b"\x93NUMPY\x02\0" + struct.pack("<L", 2**31)
    archive(path, {"a.npy": start + b" " * 50_000_000})
    tracemalloc.start()
    refused(path, r"'a\.npy': its header would be 2147483648 bytes long")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_other_members_names_twice_and_comments_are_refused(tmp_path):
    other = tmp_path / "other.npz"
    archive(other, {"../../x.txt": b"hello"})
    refused(other, "is not an array")
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("a.npy", npy(np.zeros(1)))
        file.writestr("b.npy", npy(np.ones(1)))
    other.write_bytes(other.read_bytes().replace(b"b.npy", b"a.npy"))
    refused(other, "occurs twice")
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("a.npy", npy(np.zeros(1)))
        file.comment = b"hello"
    refused(other, "left over")


def test_what_is_no_archive_is_refused(tmp_path):
    refused(tmp_path, "is not a file")
    refused(tmp_path / "absent", "is not a file")
    (tmp_path / "text").write_bytes(b"hello")
    refused(tmp_path / "text", "too short")


def test_a_path_in_a_member_name_is_only_a_name(tmp_path):
    archive(tmp_path / "path.npz", {"../../x.npy": npy(np.zeros(2))})
    assert list(read_npz(tmp_path / "path.npz")) == ["../../x"]
