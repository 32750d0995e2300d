"""MNIST: finding its four files in a folder, in the cache or on a mirror, and making arrays of them."""

import hashlib
import io
import math
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinygrad_nn.data import idx
from tinygrad_nn.data.places import cache, keep, users_folder
from tinygrad_nn.errors import ArgumentError, DatasetError
from tinygrad_nn.files import StrPath


class Mnist(NamedTuple):
    """The arrays that `mnist` returns.

    Example:
        >>> images, labels = np.zeros((2, 784), np.float32), np.array([5, 0])
        >>> x_train, y_train, x_test, y_test = Mnist(images, labels, images, labels)
        >>> x_train.shape, y_test
        ((2, 784), array([5, 0]))
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]


class _File(NamedTuple):
    name: str
    shape: tuple[int, ...]
    sha256: str
    """Of the decompressed contents, which are the same on every mirror; the compressed ones are not."""


_OVERHEAD = 1024
"""Bytes by which a gzip file of incompressible data may exceed them, header and block marks included."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://systemds.apache.org/assets/datasets/mnist/",
)
FILES = (
    _File(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    _File(
        "train-labels-idx1-ubyte",
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    _File(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    _File(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def mnist(folder: StrPath | None = None, *, flatten: bool = True) -> Mnist:
    """Return the MNIST database of handwritten digits, 60,000 training and 10,000 test images with their labels.

    Images are flattened rows of 28 * 28 pixels, float32 in [0, 1] (0 is background), shapes (60000, 784)
    and (10000, 784), or with `flatten=False` (60000, 28, 28, 1) and (10000, 28, 28, 1), rows, columns and one channel,
    as convolutions take them; labels are int64, shapes (60000,) and (10000,). The files store pixels as uint8, in
    which 0 - 1 is 255; they are converted, pixel / 255, before anyone can calculate with them.
    `x_train, y_train, x_test, y_test = tn.data.mnist()` takes the four apart, which are four in a row, not two pairs as
    Keras's `load_data()` has them.

    The four files, gzip-compressed or not, are looked for in `folder`; without one, in the folder that the
    environment variable TINYGRAD_NN_DATA names. They may be called train-images.idx3-ubyte and so on, and each may
    lie in a folder of its own name, as Kaggle has them. Such a folder is yours: it must hold all four, and nothing in
    it is written, removed or replaced. Without either, the files are downloaded on first use, 12 MB, and
    kept in `tinygrad_nn` under XDG_CACHE_HOME or ~/.cache; a damaged file there is downloaded again, with a
    warning. If the cache cannot be written, a warning says so, and nothing is kept.

    Wherever the files come from, the SHA-256 of their decompressed contents is verified at each load. Files
    of your own in the same format, Fashion-MNIST's for example, are read with `read_idx`.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", CC BY-SA 3.0.

    Raises:
        DatasetError: names the file or the mirrors and what is wrong with each.
        ArgumentError: `flatten` is not True or False, before a file is looked for.
    """
    if not isinstance(flatten, bool):
        raise ArgumentError(
            f"mnist: flatten is True, (N, 784), or False, (N, 28, 28, 1), got {flatten!r:.60}\n"
            "  hint   tn.data.mnist(flatten=False)"
        )
    own = users_folder(folder)
    contents = _from_cache() if own is None else _from_folder(own)
    x_train, y_train, x_test, y_test = (idx.to_array(content) for content in contents)
    images = [_scaled(x) if flatten else _scaled(x).reshape(*x.shape, 1) for x in (x_train, x_test)]
    return Mnist(images[0], y_train.astype(np.int64), images[1], y_test.astype(np.int64))


def _scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(images.reshape(len(images), -1), np.float32(255), dtype=np.float32)


def _from_folder(folder: Path) -> list[bytearray]:
    """Return the contents of the user's own files, each as it is or not at all."""
    candidates = {file: _candidates(folder, file) for file in FILES}
    if missing := [file.name for file, paths in candidates.items() if not paths]:
        raise DatasetError(
            f"{folder} does not contain {', '.join(missing)} (with or without .gz){_what_is_there(folder)}"
        )
    return [_own(paths[0], file) for file, paths in candidates.items()]


def _own(path: Path, file: _File) -> bytearray:
    """Return the contents of a file of the user's; where it is another set's, say what reads that."""
    try:
        return _read(path, file)
    except DatasetError as fault:
        try:
            idx.read_idx(path)
        except DatasetError:
            raise fault from None
        raise DatasetError(
            f"{fault}\n"
            f"  hint   tn.data.read_idx({os.fspath(path)!r}) reads any file of this format, such as Fashion-MNIST's"
        ) from fault


def _what_is_there(folder: Path) -> str:
    """Say what a folder holds instead of the four files, and what to write if that is of use."""
    if os.path.isfile(folder):
        reader = "read_npz" if folder.suffix == ".npz" else "read_idx"
        return f"; it is a file\n  hint   tn.data.{reader}({os.fspath(folder)!r})"
    if not os.path.isdir(folder):
        return "; there is no such folder"
    with suppress(OSError):
        inside = sorted({path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/*ubyte*")})
        for inner in inside:
            if all(_candidates(inner, file) for file in FILES):
                return f"; they are in a folder inside\n  hint   tn.data.mnist({os.fspath(inner)!r})"
        names = sorted(os.listdir(folder))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        hints = [
            f"\n  hint   tn.data.read_npz({os.fspath(folder / name)!r})"
            for name in names
            if name.endswith(".npz")
        ]
        return f"; there is {', '.join(names[:_SHOWN]) or 'nothing'}{more}" + "".join(hints[:1])
    return ""


_SHOWN = 8


def _from_cache() -> list[bytearray]:
    folder, mirrors = cache(), list(MIRRORS)
    return [_cached(folder, file, mirrors) for file in FILES]


def _cached(folder: Path, file: _File, mirrors: list[str]) -> bytearray:
    for path in _candidates(folder, file):
        try:
            return _read(path, file)
        except DatasetError as fault:
            with suppress(OSError):
                path.unlink()
            warnings.warn(f"ignoring and removing a damaged file: {fault}", stacklevel=2)
    packed, contents = _downloaded(folder, file, mirrors)
    keep("MNIST", folder / f"{file.name}.gz", packed)
    return contents


def _downloaded(folder: Path, file: _File, mirrors: list[str]) -> tuple[bytes, bytearray]:
    """Return the true file as a mirror sends it, and its contents; mirrors that fail move to the end of the list."""
    # http and TLS take longer to import than the rest of this package, and are needed once.
    from tinygrad_nn.data import download

    faults = []
    for mirror in tuple(mirrors):
        url = f"{mirror}{file.name}.gz"
        try:
            packed = download.fetch(url, limit=math.prod(file.shape) + _OVERHEAD)
            return packed, _contents(io.BytesIO(packed), file)
        except DatasetError as fault:
            faults.append(f"\n  {url}: {fault}")
            mirrors.remove(mirror)
            mirrors.append(mirror)
    raise DatasetError(
        f"no mirror of MNIST served {file.name}:{''.join(faults)}\n"
        f"Without a network, put {', '.join(each.name for each in FILES)}\n"
        f"(with or without .gz) into {folder},\n"
        "or into any folder that mnist(folder=...) or the environment variable TINYGRAD_NN_DATA names."
    )


def _read(path: Path, file: _File) -> bytearray:
    try:
        with path.open("rb") as packed:
            return _contents(packed, file)
    except (OSError, DatasetError) as fault:
        raise DatasetError(f"{path}: {fault}") from fault


def _contents(packed: BinaryIO, file: _File) -> bytearray:
    """Unpack one of MNIST's files and check everything that is known about it."""
    contents = idx.unpack(packed, file.shape)
    array = idx.to_array(contents)
    if array.dtype != np.uint8:
        raise DatasetError(f"its elements are {array.dtype}, expected uint8")
    if array.ndim == 1 and array.max() > 9:
        raise DatasetError(f"label {array.max()} at index {array.argmax()}, expected digits")
    if hashlib.sha256(contents).hexdigest() != file.sha256:
        raise DatasetError(f"the SHA-256 of its contents is not {file.sha256}")
    return contents


def _candidates(folder: Path, file: _File) -> list[Path]:
    """Return the files that a file's name can stand for: with a dot, compressed, in a folder of its name."""
    names = file.name, file.name.replace("-idx", ".idx")
    places = [folder / name for name in names] + [folder / outer / name for outer in names for name in names]
    paths = [place.with_name(place.name + suffix) for place in places for suffix in ("", ".gz")]
    return [path for path in paths if os.path.isfile(path)]
