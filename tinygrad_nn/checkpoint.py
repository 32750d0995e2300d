"""Checkpoints: whatever has a state, in one safetensors file with a digest of every byte.

The file is in the safetensors format of Hugging Face, so that other programs can read its arrays; beside them
it holds plain data as JSON. Nothing in it is ever executed. `save` writes it in one stroke, `load` restores
all or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NoReturn, Protocol, TypeGuard

import numpy as np

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import CheckpointError, DtypeError
from tinygrad_nn.files import StrPath, write_atomically
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array

Arrays = dict[str, Array]


class Stateful(Protocol):
    """What can be restored in place: modules, optimizers, batches, callbacks, or a class of one's own."""

    def state_dict(self) -> Mapping[str, Any]: ...
    def load_state_dict(self, state: Any, /) -> object: ...


Restorable = Stateful | np.random.Generator


_KEY = "tinygrad_nn"
_VERSION = "1"
_HEAD = f'{{"__metadata__":{{"{_KEY}":"{_VERSION} '.encode()
"""How the header of every checkpoint begins; the digest follows."""

_DIGEST = slice(8 + len(_HEAD), 8 + len(_HEAD) + 64)
_BLANK = b"0" * 64
_ARRAY = "$array"
"""Marks, in the JSON, the place of an array."""

_FOREIGN = {
    b"PK": "a zip archive, such as NumPy's .npz (tn.data.read_npz) or a model of PyTorch",
    b"\x80": "a pickle, which is never loaded, because loading one can run any code",
    b"\x93N": "an array in NumPy's .npy format (np.load)",
    b"\x89H": "an HDF5 file",
}


def save(path: StrPath, **parts: object) -> None:
    """Save parts by name: modules, optimizers, batches, random generators, arrays and plain data.

    A part is a `numpy.random.Generator`, anything with `state_dict` and `load_state_dict`, or plain data
    (arrays, numbers, strings, None, lists and dicts of them). The random generators inside a module are saved
    with it.

    Raises:
        OSError: the file cannot be written; the old one, if any, is as it was.
        TypeError: a part that is nothing of this; nothing is written then.

    Example:
        >>> import tempfile, tinygrad_nn as tn
        >>> model = tn.nn.Dense(2, 3, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tn.save(f"{folder}/model.safetensors", model=model, epoch=3)
        ...     tn.load(f"{folder}/model.safetensors", model=tn.nn.Dense(2, 3))
        {'epoch': 3}
    """
    codec = _safetensors()
    arrays: Arrays = {}
    content = {
        name: {"restored": _restorable(part), "state": _encode(_state(part), name, arrays)}
        for name, part in parts.items()
    }
    note = f"{_VERSION} {_BLANK.decode()} {json.dumps(content)}"
    blob = codec.save(arrays, metadata={_KEY: note})
    if blob[8 : _DIGEST.start] != _HEAD or blob[_DIGEST] != _BLANK:
        raise RuntimeError("safetensors wrote a header of another form; no checkpoint was written")
    digest = hashlib.sha256(blob).hexdigest().encode()
    rest = memoryview(blob)
    write_atomically(path, [rest[: _DIGEST.start], digest, rest[_DIGEST.stop :]])


def load(path: StrPath, *, allow_nonfinite: bool = False, **parts: Restorable) -> dict[str, Any]:
    """Restore parts that `save` saved, in place, all or none; return the plain data among what was saved.

    Args:
        path: of the checkpoint.
        allow_nonfinite: load arrays with NaN or infinities in them, too.
        parts: the objects to restore, by the names they were saved under. Those left out are not restored.

    Raises:
        CheckpointError: the file is damaged, was not written by `save`, or does not fit; nothing is changed
            then.
        FileNotFoundError: there is no such file.
    """
    content, arrays = _read(path)
    try:
        if not allow_nonfinite:
            returned = [name for name, entry in content.items() if not entry["restored"]]
            _check_finite(arrays, [*parts, *returned])
        missing = [name for name in parts if name not in content or not content[name]["restored"]]
        if missing:
            present = ", ".join(content) or "nothing"
            raise CheckpointError(f"there is no {', '.join(missing)} to restore in it; there is {present}")
        states = {name: _decode(entry["state"], arrays) for name, entry in content.items()}
        if arrays:
            raise CheckpointError(f"damaged: nothing in it refers to {', '.join(map(repr, arrays))}")
        _restore_all([(part, states[name]) for name, part in parts.items()])
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error.__cause__
    return {name: states[name] for name, entry in content.items() if not entry["restored"]}


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "checkpoints need the package safetensors\n  hint   pip install 'tinygrad_nn[io]'"
        ) from error
    return safetensors.numpy


# What is in a part


def _stateful(part: object) -> TypeGuard[Stateful]:
    return hasattr(part, "load_state_dict")


def _restorable(part: object) -> bool:
    return isinstance(part, np.random.Generator) or _stateful(part)


def _state(part: object) -> object:
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    if isinstance(part, Module):
        randoms = [generator.bit_generator.state for generator in _generators(part)]
        return part.state_dict() | ({_RANDOMS: randoms} if randoms else {})
    return part.state_dict() if _stateful(part) else part


_RANDOMS = "random generators"


def _generators(module: Module) -> list[np.random.Generator]:
    """Return the random generators among the attributes of a module and of those inside it, each once."""
    generators: dict[int, np.random.Generator] = {}
    for _, inner in module.named_modules():
        for value in vars(inner).values():
            if isinstance(value, np.random.Generator):
                generators[id(value)] = value
    return list(generators.values())


def _put(part: Restorable, state: Any) -> None:
    if isinstance(part, np.random.Generator):
        part.bit_generator.state = state
    elif isinstance(part, Module):
        generators = _generators(part)
        randoms = state.get(_RANDOMS, [])
        if len(randoms) != len(generators):
            raise CheckpointError(
                f"{len(randoms)} random generators saved, but the module has {len(generators)}"
            )
        part.load_state_dict({name: value for name, value in state.items() if name != _RANDOMS})
        for generator, random in zip(generators, randoms, strict=True):
            generator.bit_generator.state = random
    else:
        part.load_state_dict(state)


_MISFITS = (LookupError, TypeError, ValueError, AttributeError)
"""What `load_state_dict` of somebody else may raise at a state that is not its own."""


def _restore_all(pairs: list[tuple[Restorable, object]]) -> None:
    """Give each part its state; if one of them does not fit, give the others back what they had."""
    before = [(part, _state(part)) for part, _ in pairs]
    done = 0
    try:
        for part, state in pairs:
            done += 1
            _put(part, state)
    except BaseException as error:
        for part, state in before[:done]:
            _put(part, state)
        if isinstance(error, CheckpointError) or not isinstance(error, _MISFITS):
            raise
        name = type(pairs[done - 1][0]).__name__
        raise CheckpointError(
            f"the state does not fit this {name}; nothing was changed ({error!r})"
        ) from error


# Plain data to JSON and arrays, and back


def _encode(value: object, path: str, arrays: Arrays) -> object:
    """Return `value` as JSON, moving the arrays in it to `arrays` under dotted names."""
    if isinstance(value, Tensor):
        value = value._data
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            raise DtypeError(f"{path}: a checkpoint holds no arrays of dtype {value.dtype}")
        name = path
        while name in arrays:
            name += "_"
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {_ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{path}.{k}", arrays) for k, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value) and _ARRAY not in value:
        return {key: _encode(item, f"{path}.{key}", arrays) for key, item in value.items()}
    raise TypeError(
        f"{path}: a checkpoint cannot hold {type(value).__name__}\n"
        "  hint   arrays, numbers, strings, lists and dicts with string keys, generators, or objects with "
        "state_dict and load_state_dict"
    )


def _decode(value: object, arrays: Arrays) -> object:
    """Return what `_encode` was given, taking the arrays in it out of `arrays`."""
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {_ARRAY}:
        return {key: _decode(item, arrays) for key, item in value.items()}
    if value[_ARRAY] not in arrays:
        raise CheckpointError(f"damaged: the array {value[_ARRAY]!r} is missing")
    return arrays.pop(value[_ARRAY])


def _check_finite(arrays: Arrays, parts: list[str]) -> None:
    prefixes = tuple(f"{part}." for part in parts)
    floating = {
        name: array
        for name, array in arrays.items()
        if f"{name}.".startswith(prefixes) and array.dtype.kind == "f"
    }
    bad = [f"{name} {array.shape}" for name, array in floating.items() if not np.isfinite(array).all()]
    if bad:
        raise CheckpointError(
            f"NaN or infinities in {', '.join(bad)}\n"
            "  hint   load(..., allow_nonfinite=True) if they are wanted"
        )


# The file


def _read(path: StrPath) -> tuple[dict[str, Any], Arrays]:
    """Return the JSON and the arrays of a checkpoint, after everything about the file has been verified."""
    codec = _safetensors()
    blob = _blob(path)
    try:
        content = _verified(blob)
        return content, codec.load(blob)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from None
    except Exception as error:
        # Whatever a parser finds wrong with it.
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise CheckpointError(f"{os.fspath(path)}: damaged ({what})") from error


def _blob(path: StrPath) -> bytes:
    if "\0" in os.fspath(path) or (os.path.exists(path) and not os.path.isfile(path)):
        raise CheckpointError(f"{os.fspath(path)!r} is not a file")
    with open(path, "rb") as file:
        start = _checked_head(path, file.read(_DIGEST.stop))
        return start + file.read()


def _checked_head(path: StrPath, blob: bytes) -> bytes:
    """Return a blob that begins as a checkpoint does."""
    if blob[8 : _DIGEST.start] != _HEAD:
        raise CheckpointError(f"{os.fspath(path)}: not a checkpoint of tinygrad_nn{_guess(blob)}")
    return blob


def _guess(start: bytes) -> str:
    kind = next((what for magic, what in _FOREIGN.items() if start.startswith(magic)), None)
    if kind is None and start[8:9] == b"{":
        kind = (
            "a safetensors file of another program\n"
            "  hint   model.load_state_dict(safetensors.numpy.load_file(path))"
        )
    return f", but {kind}" if kind else ""


def _verified(blob: bytes) -> dict[str, Any]:
    """Check the digest, then the header; return the JSON that `save` put into it."""
    view = memoryview(blob)
    digest = hashlib.sha256(view[: _DIGEST.start])
    digest.update(_BLANK)
    digest.update(view[_DIGEST.stop :])
    if digest.hexdigest().encode() != blob[_DIGEST]:
        raise CheckpointError("damaged: the SHA-256 of its contents is not the one it names")
    size = int.from_bytes(blob[:8], "little")
    if size > len(blob) - 8:
        raise CheckpointError(f"damaged: a header of {size} bytes in a file of {len(blob)}")
    header = json.loads(blob[8 : 8 + size], object_pairs_hook=_unique, parse_constant=_no_constant)
    note: str = header["__metadata__"][_KEY].split(" ", 2)[2]
    content: dict[str, Any] = json.loads(note, object_pairs_hook=_unique)
    for name, entry in content.items():
        if not isinstance(entry, dict) or entry.keys() != {"restored", "state"}:
            raise CheckpointError(f"damaged: the part {name} has no state")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise CheckpointError("damaged: a name occurs twice in its header")
    return result


def _no_constant(name: str) -> NoReturn:
    raise CheckpointError(f"damaged: {name} in its header")
