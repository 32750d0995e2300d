"""Where data sets lie: in a folder of the user's, or in the cache."""

import os
import warnings
from pathlib import Path

from tinygrad_nn.errors import DatasetError
from tinygrad_nn.files import StrPath, cache_folder, write_atomically


def users_folder(folder: StrPath | None) -> Path | None:
    """Return the folder that is given, else the one that TINYGRAD_NN_DATA names, if there is one."""
    folder = folder if folder is not None else os.environ.get("TINYGRAD_NN_DATA") or None
    if folder is None:
        return None
    try:
        return Path(folder).expanduser()
    except RuntimeError as fault:
        raise DatasetError(f"{os.fspath(folder)}: {fault}") from fault


def cache() -> Path:
    """Return the folder for what has been downloaded."""
    try:
        return cache_folder()
    except RuntimeError as fault:
        raise DatasetError(f"~/.cache: {fault}") from fault


def keep(name: str, path: Path, contents: bytes) -> None:
    """Put what has been downloaded into the cache; where that cannot be written, warn."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [contents])
    except OSError as fault:
        warnings.warn(
            f"{name} is not kept in {path.parent}, and will be downloaded again: {fault}", stacklevel=2
        )
