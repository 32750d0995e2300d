"""Texts as integers, one for each character, and the sequences that a model of language learns from."""

import hashlib
import os
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from tinygrad_nn.data.places import cache, keep, users_folder
from tinygrad_nn.errors import DatasetError, IndexingError, SettingError, ShapeError
from tinygrad_nn.files import StrPath
from tinygrad_nn.settings import check_number, positive_integer

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
NAME = "tinyshakespeare.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SIZE = 1_115_394


class Text:
    """A text as integers: the place of each character among those that occur, sorted.

    Args:
        characters: the text.
        validation: the share at its end that is not for training.

    Attributes:
        vocabulary: the characters that occur, in order.
        ids: the whole text, int64; `train` is its beginning, `validation` its end.

    Raises:
        SettingError: a share outside of [0, 1).

    Example:
        >>> text = Text("hello", validation=0.2)
        >>> text.vocabulary, text.train.tolist(), text.decode(text.encode("hole"))
        ('ehlo', [1, 0, 2, 2], 'hole')
    """

    def __init__(self, characters: str, *, validation: float = 0.1) -> None:
        check_number("Text", "validation, the share at the end,", validation, below=1)
        self._codes, ids = np.unique(_codes(characters), return_inverse=True)
        self.ids: NDArray[np.int64] = ids.astype(np.int64)
        self.vocabulary = "".join(map(chr, self._codes.tolist()))
        cut = round(len(self.ids) * (1 - validation))
        self.train, self.validation = self.ids[:cut], self.ids[cut:]

    def encode(self, characters: str) -> NDArray[np.int64]:
        """Return the integers of a string.

        Raises:
            SettingError: a character that does not occur in the text.
        """
        codes = _codes(characters)
        unknown = ~np.isin(codes, self._codes)
        if unknown.any():
            place = int(unknown.argmax())
            raise SettingError(
                f"encode: {characters[place]!r} at position {place} is not among the {len(self._codes)} characters of "
                "the text"
            )
        return np.searchsorted(self._codes, codes).astype(np.int64)

    def decode(self, ids: ArrayLike) -> str:
        """Return the string of some integers.

        Raises:
            ShapeError: more than one axis.
            IndexingError: no integers, or one outside of the vocabulary.
        """
        numbers = np.asarray(ids)
        if numbers.ndim > 1:
            raise ShapeError(
                f"decode: takes one row of ids, got shape {numbers.shape}\n  hint   [text.decode(row) for row in ids]"
            )
        numbers = np.atleast_1d(numbers)
        bad = (numbers < 0) | (numbers >= len(self._codes))
        if numbers.size and (numbers.dtype.kind not in "iu" or bad.any()):
            raise IndexingError(
                f"decode: {numbers[bad.argmax()]} ({numbers.dtype}) is none of the ids 0 to {len(self._codes) - 1}"
            )
        return "".join(self.vocabulary[k] for k in numbers.tolist())

    def __repr__(self) -> str:
        return f"Text({len(self.ids):,} characters, {len(self._codes)} different ones)"


def _codes(characters: str) -> NDArray[np.uint32]:
    return np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


def text(path: StrPath, *, validation: float = 0.1, encoding: str = "utf-8") -> Text:
    """Return a file as a `Text`; line ends of Windows become those of Unix.

    Raises:
        DatasetError: names a file that cannot be read or is no text in this encoding.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = Path(f"{folder}/hamlet.txt").write_text("to be, or not to be")
        ...     hamlet = text(f"{folder}/hamlet.txt")
        >>> hamlet.vocabulary, hamlet.train[:5]
        (' ,benort', array([7, 5, 0, 2, 3]))
    """
    try:
        return Text(Path(path).read_text(encoding=encoding), validation=validation)
    except (OSError, UnicodeDecodeError) as fault:
        raise DatasetError(f"{os.fspath(path)}: {fault}") from fault


def shakespeare(folder: StrPath | None = None, *, validation: float = 0.1) -> Text:
    """Return "tiny Shakespeare", 1,115,394 characters of his plays, 65 different ones, as a `Text`.

    The file tinyshakespeare.txt is looked for in `folder`; without one, in the folder that the environment variable
    TINYGRAD_NN_DATA names. Such a folder is yours: it must hold the file, and nothing in it is written. Without either
    the file is downloaded on first use, 1.1 MB, and kept as MNIST is. Its SHA-256 is verified at each load.

    Source: A. Karpathy, char-rnn (2015), https://github.com/karpathy/char-rnn.

    Raises:
        DatasetError: names the file or the address, and what is wrong with it.
    """
    own = users_folder(folder)
    contents = _from_cache() if own is None else _read(own / NAME)
    return Text(contents.decode("ascii"), validation=validation)


def _read(path: Path) -> bytes:
    try:
        return _verified(path.read_bytes())
    except (OSError, DatasetError) as fault:
        raise DatasetError(f"{path}: {fault}\n  hint   tn.data.text(path) reads any text") from fault


def _verified(contents: bytes) -> bytes:
    if hashlib.sha256(contents).hexdigest() != SHA256:
        raise DatasetError(f"the SHA-256 of its contents is not {SHA256}")
    return contents


def _from_cache() -> bytes:
    path = cache() / NAME
    if path.exists():
        try:
            return _read(path)
        except DatasetError as fault:
            with suppress(OSError):
                path.unlink()
            warnings.warn(f"ignoring and removing a damaged file: {fault}", stacklevel=2)
    # http and TLS take longer to import than the rest of this package, and are needed once.
    from tinygrad_nn.data import download

    try:
        contents = _verified(download.fetch(URL, limit=SIZE))
    except DatasetError as fault:
        raise DatasetError(
            f"{URL}: {fault}\nWithout a network, put it as {NAME} into {path.parent},\n"
            "or into any folder that shakespeare(folder=...) or the environment variable TINYGRAD_NN_DATA names."
        ) from fault
    keep("tiny Shakespeare", path, contents)
    return contents


def sequences(
    ids: ArrayLike, length: int, *, stride: int = 1
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return pieces of a long sequence as inputs, and the same moved on by one as targets, both (N, length).

    They are read-only views: of every piece that there is, by default, or of those that begin `stride` apart;
    `stride=length` cuts the sequence into consecutive ones. Batches of them are those of any arrays: random pieces are
    `batches_with_replacement(*sequences(text.train, 64), size=12, rng=0)`.

    Raises:
        ShapeError: not one axis, or fewer than length + 1 elements.
        SettingError: a length or a stride that is not a positive integer.

    Example:
        >>> x, y = sequences([0, 1, 2, 3, 4, 5, 6], 3, stride=3)
        >>> x.tolist(), y.tolist()
        ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    for name, count in (("length", length), ("stride", stride)):
        positive_integer("sequences", name, count)
    row = np.asarray(ids)
    if row.ndim != 1 or len(row) <= length:
        raise ShapeError(
            f"sequences: pieces of {length} and one element more need a row of at least {length + 1}, "
            f"got shape {row.shape}"
        )
    pieces = sliding_window_view(row, length + 1)[::stride]
    return pieces[:, :-1], pieces[:, 1:]
