"""The IDX file format, in which MNIST and its relatives are distributed; its structure is checked before use.

An IDX file is a big-endian header (two zero bytes, a type code, the number of dimensions d >= 1, then d sizes
of four bytes each) and the elements in C order, nothing more. It may be wrapped in one gzip member.
"""

import math
import os
import struct
import zlib
from typing import BinaryIO, Protocol

import numpy as np

from tinygrad_nn.data.limits import allowed, check_size
from tinygrad_nn.errors import DatasetError
from tinygrad_nn.files import StrPath

_DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_NUMPY_MAX_RANK = 64
_NUMPY_MAX_BYTES = int(np.iinfo(np.intp).max)
_CHUNK = 1 << 18


def read_idx(path: StrPath, *, max_bytes: int | None = None) -> np.ndarray:
    """Read a file in IDX format, of any element type and rank, gzip-compressed (whatever its name) or not.

    Memory grows only with bytes that are there, never by what a header claims, and no more is unpacked than it
    claims. The array may take `max_bytes`; by default 100 times the size of the file, and 64 MB in any case, so that
    a small file cannot fill the memory. The format is described at the end of Y. LeCun's page on the MNIST database.

    Returns:
        A writeable array in the machine's byte order: uint8, int8, int16, int32, float32 or float64. The first
        dimension may be 0 (a file without items), the others may not.

    Raises:
        DatasetError: names a file that cannot be read or is anything but exactly one IDX array: no byte may be
            missing, changed in the header, or left over.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:  # uint8, 1 axis, 3 items
        ...     written = Path(f"{folder}/labels").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
        ...     read_idx(f"{folder}/labels")
        array([5, 0, 4], dtype=uint8)
    """
    # A FIFO or a device would block or never end.
    if not os.path.isfile(path):
        raise DatasetError(f"{os.fspath(path)!r} is not a file")
    try:
        with open(path, "rb") as file:
            return to_array(unpack(file, max_bytes=max_bytes))
    except (OSError, DatasetError) as fault:
        raise DatasetError(f"{os.fspath(path)}: {fault}") from fault


def unpack(file: BinaryIO, shape: tuple[int, ...] | None = None, max_bytes: int | None = None) -> bytearray:
    """Return the decompressed contents of a file, proved to be one IDX array (of the given shape)."""
    available = file.seek(0, os.SEEK_END)
    file.seek(0)
    gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    source: _Source = _Gunzip(file) if gzipped else file
    contents = bytearray()
    _fill(contents, source, 4)
    dtype, rank = _magic(contents)
    _fill(contents, source, 4 + 4 * rank)
    sizes = _sizes(contents)
    if shape is not None and sizes != shape:
        raise DatasetError(f"its header announces the shape {sizes}, expected {shape}")
    if 0 in sizes[1:]:
        raise DatasetError(f"its header announces items without content, shape {sizes}")
    # NumPy multiplies the other sizes of an empty array, too.
    if math.prod(max(size, 1) for size in sizes) * dtype.itemsize > _NUMPY_MAX_BYTES:
        raise DatasetError(f"its header announces more than an array can hold, shape {sizes}")
    nbytes = math.prod(sizes) * dtype.itemsize
    total = len(contents) + nbytes
    if not gzipped and available != total:
        raise DatasetError(f"{available} bytes, but a {dtype.name} array of shape {sizes} takes {total}")
    if shape is None:
        check_size(nbytes, allowed(available, max_bytes), "read_idx")
    _fill(contents, source, total)
    if source.read(1):
        raise DatasetError(f"bytes left over after a {dtype.name} array of shape {sizes}")
    return contents


def to_array(contents: bytearray) -> np.ndarray:
    """View what `unpack` returned as an array (a copy where the byte order differs from the machine's)."""
    dtype, rank = _magic(contents)
    array = np.frombuffer(contents, dtype, offset=4 + 4 * rank).reshape(_sizes(contents))
    return array.astype(dtype.newbyteorder("="), copy=False)


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Gunzip:
    """Reads the one gzip member that a file consists of; its checksum and its end are checked at the end.

    The standard library's GzipFile would go on to a second member without a word.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def read(self, size: int, /) -> bytes:
        while not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._file.read(_CHUNK)
            try:
                piece = self._stream.decompress(packed, size)
            except zlib.error as fault:
                raise DatasetError(f"damaged gzip data ({fault})") from fault
            if piece:
                return piece
            if not packed:
                raise DatasetError("the gzip data end too early")
        if self._stream.unused_data or self._file.read(1):
            raise DatasetError("bytes left over after the gzip data")
        return b""


def _fill(contents: bytearray, source: _Source, total: int) -> None:
    while missing := total - len(contents):
        piece = source.read(min(missing, _CHUNK))
        if not piece:
            raise DatasetError(f"it ends after {len(contents)} bytes, expected {total}")
        contents += piece


def _magic(contents: bytearray) -> tuple[np.dtype, int]:
    """Return element type and rank, from the first four bytes."""
    code, rank = contents[2], contents[3]
    if contents[:2] == b"\0\0" and code in _DTYPES and 1 <= rank <= _NUMPY_MAX_RANK:
        return _DTYPES[code], rank
    problem = f"it begins with {bytes(contents[:4])!r}, which is not the start of an IDX file"
    if contents[2:4] == b"\0\0" and contents[1] in _DTYPES:
        problem += " (the bytes are in the wrong order: IDX is big-endian)"
    raise DatasetError(problem)


def _sizes(contents: bytearray) -> tuple[int, ...]:
    return struct.unpack_from(f">{contents[3]}I", contents, 4)
