"""Whether a saved state fits what it goes to: arrays, entries of plain data, sources of random numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeGuard

import numpy as np

from tinygrad_nn.errors import CheckpointError


def check_state(
    who: str,
    targets: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    also: Iterable[str] = (),
) -> None:
    """Raise `CheckpointError` with everything that is wrong: names, shapes, dtypes, and problems found elsewhere.

    Args:
        who: whose state it is.
        targets: the arrays to be filled, by name.
        arrays: those of the state.
        also: further problems.
    """
    problems = [f"missing     {name}" for name in targets if name not in arrays]
    problems += [f"unexpected  {name}" for name in arrays if name not in targets]
    for name, target in targets.items():
        array = arrays.get(name, target)
        if array.shape != target.shape:
            problems.append(f"shape       {name}: {array.shape}, expected {target.shape}")
        if array.dtype != target.dtype:
            problems.append(f"dtype       {name}: {array.dtype}, expected {target.dtype}")
        if not target.flags.writeable:
            problems.append(f"read-only   {name}")
    problems += also
    if problems:
        text = "\n  ".join([f"the state does not fit this {who}; nothing was changed", *problems])
        raise CheckpointError(text)


State = Mapping[str, Any]
"""What `load_state_dict` takes: arrays, and plain data, by name."""
StateDict = dict[str, Any]
"""The same as `state_dict` returns it, which belongs to whoever asked."""


class Stateful(Protocol):
    """What can be restored in place: modules, optimizers, batches, callbacks, or a class of one's own."""

    def state_dict(self) -> State: ...
    def load_state_dict(self, state: Any, /) -> object: ...


def is_stateful(thing: object) -> TypeGuard[Stateful]:
    """Tell whether `thing` can be restored in place."""
    return hasattr(thing, "load_state_dict")


Entry = Callable[[Any], bool]
"""Tells whether one entry of a state is what it has to be."""


def meant_for_others(targets: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return what to write for weights whose axes are reversed, and for what `tn.load` returns, where no name fits."""
    turned = any(
        array.shape == targets[name].shape[::-1] != array.shape[::-1]
        for name, array in arrays.items()
        if name in targets
    )
    strange = targets and arrays and targets.keys().isdisjoint(arrays)
    return ["hint   tn.interop.load_torch(model, state) turns weights of PyTorch"] * turned + [
        "hint   tn.load(path, model=model) fills a model from a file that tn.save wrote"
    ] * bool(strange)


def is_count(x: object, most: float = math.inf) -> bool:
    """Tell whether `x` is a plain integer from 0 to `most`."""
    return type(x) is int and 0 <= x <= most


def is_number(x: object) -> bool:
    """Tell whether `x` is a plain number."""
    return type(x) in (int, float)


def are_arrays(x: object) -> bool:
    """Tell whether `x` is a mapping to arrays."""
    return isinstance(x, Mapping) and all(isinstance(array, np.ndarray) for array in x.values())


def expect_mapping(who: str, state: object, hint: str = "") -> State:
    """Return a state; raise `CheckpointError` for one that has nothing by name."""
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"the state does not fit this {who}: it is {state!r:.60}; nothing was changed{hint}"
        )
    return state


def check_entries(who: str, state: object, **entries: Entry) -> None:
    """Raise `CheckpointError` unless a state of plain data has these entries, each as its test wants it.

    Example:
        >>> check_entries("Means", {"rows": -1, "more": 0}, rows=is_count)
        Traceback (most recent call last):
        tinygrad_nn.errors.CheckpointError: the state does not fit this Means; nothing was changed
          wrong       rows: -1
    """
    given = expect_mapping(who, state)
    problems = [f"missing     {name}" for name in entries if name not in given]
    problems += [
        f"wrong       {name}: {given[name]!r:.60}"
        for name, fits in entries.items()
        if name in given and not fits(given[name])
    ]
    if problems:
        text = "\n  ".join([f"the state does not fit this {who}; nothing was changed", *problems])
        raise CheckpointError(text)


RandomSource = np.random.Generator | np.random.RandomState | np.random.BitGenerator | random.Random
"""What draws random numbers and has a state."""

_LARGEST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1, "has_gauss": 1}
"""What NumPy's generators hold at most; it looks at none of them, and a position beyond is read beyond the array."""


def is_random_source(thing: object) -> TypeGuard[RandomSource]:
    """Tell whether `thing` draws random numbers and has a state, which the system's entropy has not."""
    return isinstance(thing, RandomSource) and not isinstance(thing, random.SystemRandom)


def random_state(source: RandomSource) -> StateDict:
    """Return the state of a source of random numbers, as plain data and arrays."""
    if isinstance(source, random.Random):
        version, (*words, position), gauss = source.getstate()
        return {"version": version, "words": np.array(words, np.uint32), "pos": position, "gauss": gauss}
    if isinstance(source, np.random.RandomState):
        return dict(source.get_state(legacy=False))
    return dict(_bits(source).state)


def fits_random(source: RandomSource) -> Entry:
    """Return the test of whether a state is one that a source of this kind can have."""
    return lambda state: _misfit(random_state(source), state) is None


def set_random_state(source: RandomSource, state: Any) -> None:
    """Let a source go on where `random_state` found one of its kind.

    Raises:
        CheckpointError: the state is none, or one of another kind; nothing is changed then.
    """
    if problem := _misfit(random_state(source), state):
        raise CheckpointError(f"the state is not one of this {type(source).__name__}: {problem}")
    if isinstance(source, random.Random):
        source.setstate((state["version"], (*state["words"].tolist(), state["pos"]), state["gauss"]))
    elif isinstance(source, np.random.RandomState):
        source.set_state(state)
    else:
        _bits(source).state = state


def random_stream(source: RandomSource, number: int) -> StateDict:
    """Return the state of one of many streams of random numbers, after a draw from a source, on which it depends."""
    if isinstance(source, random.Random):
        return random_state(random.Random(f"{source.getrandbits(64)} {number}"))
    if isinstance(source, np.random.RandomState):
        seed = np.random.SeedSequence([*source.bytes(16), number])
        return random_state(np.random.RandomState(np.random.MT19937(seed)))
    bits = _bits(source)
    seed = np.random.SeedSequence([*np.random.Generator(bits).bytes(16), number])
    return random_state(type(bits)(seed))


def _bits(source: np.random.Generator | np.random.BitGenerator) -> np.random.BitGenerator:
    return source.bit_generator if isinstance(source, np.random.Generator) else source


def _misfit(present: object, state: object, name: str = "") -> str | None:
    """Say where a state has another form than the present one; None if it has not."""
    if isinstance(present, Mapping):
        if not isinstance(state, Mapping) or state.keys() != present.keys():
            return f"{name or 'it'} is {state!r:.60}"
        return next(filter(None, (_misfit(value, state[key], key) for key, value in present.items())), None)
    if isinstance(present, np.ndarray):
        fits = isinstance(state, np.ndarray) and (state.shape, state.dtype) == (present.shape, present.dtype)
    elif isinstance(present, str) or name == "version":
        fits = state == present
    elif name == "gauss":
        fits = state is None or is_number(state)
    else:
        fits = is_count(state, _LARGEST.get(name, math.inf))
    return None if fits else f"{name} is {state!r:.60}"
