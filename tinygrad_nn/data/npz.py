"""Data sets in NumPy's .npz format, the one Keras distributes its own in: one archive, arrays by name."""

import io
import math
import os
import zipfile
import zlib
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike

from tinygrad_nn.data.limits import allowed, check_size
from tinygrad_nn.errors import DatasetError, DtypeError
from tinygrad_nn.files import StrPath, write_atomically

_END = b"PK\x05\x06"
_END_LENGTH = 22
_HEADER_LIMIT = 10_000
_CHUNK = 1 << 20
_HEADERS = {
    (1, 0): (2, npy.read_array_header_1_0),
    (2, 0): (4, npy.read_array_header_2_0),
    # What is new in version 3 is the text of field names, and no array of numbers has fields.
    (3, 0): (4, npy.read_array_header_2_0),
}
"""By version of the .npy format: how many bytes say how long the header is, and what reads it."""


def read_npz(path: StrPath, *, max_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file, by name: for `mnist.npz` of Keras x_train, y_train, x_test, y_test.

    Numbers and bools of any shape are read, in the machine's byte order; nothing in the file is executed.
    Every member has to be exactly the array that its header announces. Arrays may take `max_bytes` together;
    by default 100 times the size of the file, and 64 MB in any case, so that a small file cannot fill the
    memory. The formats are those of numpy.lib.format and of PKWARE's APPNOTE.TXT.

    Raises:
        DatasetError: names a file that cannot be read, is damaged, or is not such an archive.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez_compressed(f"{folder}/data.npz", x_train=np.zeros((3, 28, 28), np.uint8), y_train=[5, 0, 4])
        ...     arrays = read_npz(f"{folder}/data.npz")
        >>> arrays["x_train"].shape, arrays["y_train"]
        ((3, 28, 28), array([5, 0, 4]))
    """
    name = os.fspath(path)
    if not os.path.isfile(path):
        raise DatasetError(f"{name!r} is not a file")
    try:
        with open(path, "rb") as file:
            size = _checked_size(file)
            return _arrays(file, allowed(size, max_bytes))
    except DatasetError as fault:
        raise DatasetError(f"{name}: {fault}") from fault.__cause__
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as fault:
        raise DatasetError(f"{name}: damaged ({fault})") from fault


def write_npz(path: StrPath, /, **arrays: ArrayLike) -> None:
    """Write arrays by name, compressed, so that `read_npz`, NumPy and Keras can read them; in one stroke.

    Raises:
        DtypeError: anything but numbers and bools.
        OSError: the file cannot be written; the old one, if any, is as it was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_npz(f"{folder}/data.npz", X=np.eye(2), y=[0, 1])
        ...     read_npz(f"{folder}/data.npz")["y"]
        array([0, 1])
    """
    members = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in members.items():
        if array.dtype.kind not in "fiub":
            raise DtypeError(f"write_npz: {name} has dtype {array.dtype}; numbers and bools are written")
    contents = io.BytesIO()
    # np.savez_compressed has keywords of its own, which are names like others here: file, allow_pickle.
    with zipfile.ZipFile(contents, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
    write_atomically(path, [contents.getbuffer()])


def _checked_size(file: IO[bytes]) -> int:
    """Return the size of a file that is one archive from its first byte to its last."""
    size = file.seek(0, os.SEEK_END)
    if size < _END_LENGTH:
        raise DatasetError("too short for an .npz archive")
    file.seek(-_END_LENGTH, os.SEEK_END)
    end = file.read()
    # A comment could hide anything, and zipfile looks for the end of the archive far before that of the file.
    if not end.startswith(_END) or end[-2:] != b"\0\0":
        raise DatasetError("not an .npz archive, or bytes are left over after its end")
    return size


def _arrays(file: IO[bytes], limit: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if members and min(member.header_offset for member in members) != 0:
            raise DatasetError("there are bytes before the archive, such as another one")
        if len({member.filename for member in members}) < len(members):
            raise DatasetError("a name occurs twice in it")
        result = {}
        for member in members:
            if not member.filename.endswith(".npy") or member.flag_bits & 1:
                raise DatasetError(f"{member.filename!r} is not an array, or is encrypted")
            with archive.open(member) as source:
                try:
                    array = _array(source, member.file_size, limit)
                except DatasetError as fault:
                    raise DatasetError(f"{member.filename!r}: {fault}") from fault.__cause__
            limit -= array.nbytes
            result[member.filename.removesuffix(".npy")] = array
        return result


def _array(source: IO[bytes], announced: int, limit: int) -> np.ndarray:
    """Read one member, which must be one array; memory grows only with bytes that are there."""
    shape, fortran, dtype, length = _header(source)
    total = math.prod(shape) * dtype.itemsize
    check_size(total, limit, "read_npz")
    if announced != length + total:
        raise DatasetError(
            f"it has {announced} bytes, but an array of shape {shape} and {dtype} takes {length + total}"
        )
    contents = bytearray()
    while piece := source.read(min(_CHUNK, total - len(contents) + 1)):
        contents += piece
    if len(contents) != total:
        raise DatasetError(f"it has {len(contents)} of {total} bytes")
    array = np.frombuffer(contents, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(source: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, order, dtype and the length of the header of an .npy file, as NumPy reads it.

    NumPy would take as many bytes as the header says it has before it looks at their number, so that is done here.
    """
    try:
        version = npy.read_magic(source)
        width, read = _HEADERS[version]
    except (ValueError, KeyError) as fault:
        raise DatasetError("it does not begin as an array does") from fault
    size = source.read(width)
    length = int.from_bytes(size, "little")
    if length > _HEADER_LIMIT:
        raise DatasetError(f"its header would be {length} bytes long")
    try:
        shape, fortran, dtype = read(io.BytesIO(size + source.read(length)))
    except Exception as fault:
        # Whatever a parser of Python's literals finds wrong with it.
        raise DatasetError(f"a damaged header ({type(fault).__name__})") from fault
    if len(shape) > 64 or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise DatasetError("a damaged header")
    if dtype.kind not in "fiub" or dtype.subdtype is not None:
        raise DatasetError(f"arrays of dtype {dtype} are not read; numbers and bools are")
    return shape, fortran, dtype, npy.MAGIC_LEN + width + length
