import gzip
import math
import os
import struct
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.support import needs
from tinygrad_nn import data
from tinygrad_nn.data import idx
from tinygrad_nn.errors import DatasetError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def header(code, *sizes):
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes)


def encoded(array):
    return (
        header(CODES[array.dtype.str[1:]], *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def flipped(contents, bit):
    damaged = bytearray(contents)
    damaged[bit // 8] ^= 1 << bit % 8
    return damaged


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
GOOD = encoded(IMAGES)
PACKED = gzip.compress(GOOD, mtime=0)
arrays = st.sampled_from(list(CODES)).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=1, max_dims=5, max_side=4))
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Read bytes as the file that they are."""
    path = tmp_path_factory.mktemp("idx") / "file"

    def read(contents):
        path.write_bytes(contents)
        return data.read_idx(path)

    return read


@given(array=arrays, packed=st.booleans())
@settings(deadline=None)
def test_every_type_and_rank_is_read_back_in_native_byte_order(read, array, packed):
    contents = encoded(array)
    result = read(gzip.compress(contents) if packed else contents)
    assert result.dtype == array.dtype
    assert result.dtype.isnative
    assert result.flags.writeable
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, array)


def test_bytes_on_disk_are_big_endian(read):
    assert read(bytes.fromhex("00000b01 00000002 0102 fffe")).tolist() == [258, -2]


@pytest.mark.case("H134")
def test_uint8_stays_uint8_for_the_reader_of_raw_files(read):
    assert read(GOOD).dtype == np.uint8


@pytest.mark.case("H161")
@pytest.mark.parametrize(
    "start",
    [
        "00000800",
        "00000701",
        "00000a01",
        "00000f01",
        "00000841",
        "000008ff",
        "01000801",
        "00010801",
        "3c21444f",
    ],
)
def test_a_wrong_magic_number_is_refused(read, start):
    contents = bytes.fromhex(start) + bytes(64)
    with pytest.raises(DatasetError, match="file: it begins with .*, which is not the start of an IDX file"):
        read(contents)
    with pytest.raises(DatasetError, match="file: it begins with .*, which is not the start of an IDX file"):
        read(gzip.compress(contents))


@pytest.mark.case("H161")
def test_a_header_that_says_less_than_there_is_is_refused(read):
    contents = header(0x08, 0) + bytes(60)
    with pytest.raises(DatasetError, match=r"68 bytes, but a uint8 array of shape \(0,\) takes 8"):
        read(contents)
    with pytest.raises(DatasetError, match=r"bytes left over after a uint8 array of shape \(0,\)"):
        read(gzip.compress(contents))


@pytest.mark.case("H161")
def test_a_little_endian_header_is_recognised(read):
    with pytest.raises(DatasetError, match="big-endian"):
        read(struct.pack("<4I", 0x0803, 2, 3, 4) + bytes(24))
    with pytest.raises(DatasetError, match="takes"):
        read(bytes.fromhex("00000801") + struct.pack("<I", 24) + bytes(24))


@pytest.mark.case("H161")
def test_more_dimensions_than_numpy_has_are_refused(read):
    assert read(header(0x08, *[1] * 64) + b"x").ndim == 64
    with pytest.raises(DatasetError, match="not the start"):
        read(header(0x08, *[1] * 65) + b"x")


@pytest.mark.case("H162")
def test_idx_truncated_at_every_byte_is_refused(read):
    for length in range(len(GOOD)):
        with pytest.raises(DatasetError):
            read(GOOD[:length])
        with pytest.raises(DatasetError):
            read(gzip.compress(GOOD[:length]))


@pytest.mark.case("H162")
@pytest.mark.parametrize("rest", [b"\0", b"\n", bytes(1000)])
def test_trailing_bytes_are_refused(read, rest):
    with pytest.raises(DatasetError, match="takes 40"):
        read(GOOD + rest)
    with pytest.raises(DatasetError, match="left over"):
        read(gzip.compress(GOOD + rest))


@pytest.mark.case("H162")
@pytest.mark.parametrize(
    "sizes",
    [
        (2**32 - 1,),
        (2**32 - 1,) * 2,
        (2**32 - 1,) * 3,
        (2**32 - 1, 28, 28),
        (2**31, 2**31, 2),
        (0,) + (2**32 - 1,) * 3,
    ],
)
@pytest.mark.parametrize("code", CODES.values())
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_huge_sizes_are_refused_before_anything_is_allocated(read, code, sizes, pack):
    contents = pack(header(code, *sizes) + b"payload")
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError):
            read(contents)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.case("H162")
def test_no_items_are_an_empty_array_but_items_without_content_are_refused(read):
    assert read(header(0x0D, 0)).shape == (0,)
    assert read(gzip.compress(header(0x08, 0, 28, 28))).shape == (0, 28, 28)
    with pytest.raises(DatasetError, match="more than an array can hold"):
        read(header(0x08, 0, *[2**32 - 1] * 3))
    for sizes in [(3, 0), (60000, 0, 28), (0, 0)]:
        with pytest.raises(DatasetError, match="without content"):
            read(header(0x08, *sizes))


@pytest.mark.case("H164")
def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_allows(read):
    packer = zlib.compressobj(wbits=31)
    zeros = bytes(1_000_000)
    bomb = packer.compress(GOOD) + b"".join(packer.compress(zeros) for _ in range(100)) + packer.flush()
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="left over"):
            read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.case("H164")
def test_a_small_file_with_an_honest_header_cannot_fill_the_memory_either(tmp_path):
    path = tmp_path / "bomb"
    packer = zlib.compressobj(wbits=31)
    zeros = bytes(1_000_000)
    bomb = packer.compress(header(0x08, 100, 1_000_000)) + b"".join(
        packer.compress(zeros) for _ in range(100)
    )
    path.write_bytes(bomb + packer.flush())
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(
            DatasetError,
            match=r"bomb: 100,000,000 bytes, where 64,000,000 are allowed\n  hint   read_idx\(path, max_bytes=",
        ):
            data.read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert data.read_idx(path, max_bytes=100_000_000).shape == (100, 1_000_000)


@pytest.mark.case("H164")
def test_bytes_are_allowed_exactly_and_counted_in_elements_of_their_size(tmp_path):
    path = tmp_path / "file"
    for packed in (bytes, gzip.compress):
        path.write_bytes(packed(header(0x0E, 3) + bytes(24)))
        assert data.read_idx(path, max_bytes=24).shape == (3,)
        with pytest.raises(DatasetError, match="24 bytes, where 23 are allowed"):
            data.read_idx(path, max_bytes=23)


@pytest.mark.case("H165")
def test_gzip_truncated_at_every_byte_is_refused(read):
    for length in range(len(PACKED)):
        with pytest.raises(DatasetError):
            read(PACKED[:length])


@pytest.mark.case("H165")
def test_wrong_checksum_and_length_are_refused(read):
    for position in range(-8, 0):
        damaged = bytearray(PACKED)
        damaged[position] ^= 1
        with pytest.raises(DatasetError, match=r"incorrect (data|length) check"):
            read(damaged)


@pytest.mark.case("H165")
@pytest.mark.parametrize(
    "rest",
    [b"\0", bytes(600_000), b"garbage", PACKED, gzip.compress(b"", mtime=0)],
    ids=["zero", "zeros", "garbage", "member", "empty-member"],
)
def test_anything_after_the_gzip_member_is_refused(read, rest):
    with pytest.raises(DatasetError, match="left over after the gzip data"):
        read(PACKED + rest)


@pytest.mark.case("H165")
def test_a_file_split_over_two_gzip_members_is_refused(read):
    with pytest.raises(DatasetError, match="left over after the gzip data"):
        read(gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:]))


@pytest.mark.case("H165")
def test_anything_after_the_gzip_member_is_refused_where_a_chunk_ends_with_it(read, monkeypatch):
    monkeypatch.setattr(idx, "_CHUNK", 1)
    np.testing.assert_array_equal(read(PACKED), IMAGES)
    with pytest.raises(DatasetError, match="left over after the gzip data"):
        read(PACKED + b"\0")


def test_gzip_data_of_many_chunks_are_read_whole(read):
    noise = np.random.default_rng(0).integers(0, 256, (700, 1000), dtype=np.uint8)
    np.testing.assert_array_equal(read(gzip.compress(encoded(noise), 1)), noise)
    zeros = np.zeros((3000, 1000), np.uint8)
    np.testing.assert_array_equal(read(gzip.compress(encoded(zeros))), zeros)


@pytest.mark.case("H165")
def test_any_bit_flipped_in_a_gzip_file_is_refused_or_changes_nothing(read):
    harmless = set()
    for bit in range(8 * len(PACKED)):
        with suppress(DatasetError):
            np.testing.assert_array_equal(read(flipped(PACKED, bit)), IMAGES)
            harmless.add(bit)
    # The time stamp and what packed it carry no data, nor do a flag and the bits that fill the last byte up.
    assert set(range(8 * 4, 8 * 10)) <= harmless
    assert {bit // 8 for bit in harmless} <= {*range(3, 10), len(PACKED) - 9}


@pytest.mark.case("H165")
@given(
    edits=st.lists(st.tuples(st.integers(0, len(PACKED) - 1), st.integers(0, 255)), max_size=6),
    extra=st.binary(),
)
@settings(deadline=None)
def test_a_mutated_gzip_file_is_refused_or_still_says_the_same(read, edits, extra):
    mutated = bytearray(PACKED)
    for position, value in edits:
        mutated[position] = value
    try:
        np.testing.assert_array_equal(read(mutated + extra), IMAGES)
        assert not extra
    except DatasetError:
        assert extra or mutated != PACKED


@pytest.mark.case("H162")
def test_any_bit_flipped_in_a_plain_header_is_refused_and_in_the_payload_is_data(read):
    for bit in range(8 * 16):
        # 0x08 and 0x09, unsigned and signed bytes, are one bit apart
        if bit == 8 * 2:
            assert read(flipped(GOOD, bit)).dtype == np.int8
        else:
            with pytest.raises(DatasetError):
                read(flipped(GOOD, bit))
    for bit in range(8 * 16, 8 * len(GOOD)):
        assert np.count_nonzero(read(flipped(GOOD, bit)) != IMAGES) == 1


STARTS = [b"", b"\x1f\x8b", b"\x1f\x8b\x08\0", *(header(code, 2) for code in CODES.values())]


@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=40))
@settings(deadline=None)
def test_arbitrary_bytes_are_read_exactly_or_refused(read, start, rest):
    with suppress(DatasetError):
        assert encoded(read(start + rest)) == start + rest


@given(name=st.sampled_from(list(CODES)), excess=st.sampled_from([-1, 0, 1]), data=st.data())
@settings(deadline=None)
def test_bytes_are_read_exactly_where_they_are_as_many_as_their_header_says(read, name, excess, data):
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    length = math.prod(sizes) * np.dtype(name).itemsize + excess
    contents = header(CODES[name], *sizes) + data.draw(st.binary(min_size=length, max_size=length))
    if excess:
        with pytest.raises(DatasetError, match="takes"):
            read(contents)
    else:
        assert encoded(read(contents)) == contents


def test_the_error_names_the_file(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(DatasetError, match=r"digits: it begins with b'<!DO'"):
        data.read_idx(path)
    with pytest.raises(DatasetError, match="digits"):
        data.read_idx(str(path))


def test_what_is_not_a_readable_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent", tmp_path / "nul\0byte", "/dev/zero"):
        with pytest.raises(DatasetError, match="is not a file"):
            data.read_idx(path)


@needs.fifos
def test_a_fifo_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DatasetError, match="is not a file"):
        data.read_idx(tmp_path / "fifo")


def test_a_file_that_cannot_be_opened_is_a_dataset_error(tmp_path, monkeypatch):
    path = tmp_path / "locked"
    path.write_bytes(GOOD)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DatasetError, match=r"locked.*Permission denied"):
        data.read_idx(path)
