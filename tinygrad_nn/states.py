"""Whether the arrays of a saved state fit those that they are to be copied into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_nn.errors import CheckpointError

Array = np.ndarray[Any, Any]


def check_fit(
    who: str, own: Mapping[str, Array], given: Mapping[str, Array], also: Iterable[str] = ()
) -> None:
    """Raise `CheckpointError` with everything that is wrong: names, shapes, dtypes, and problems found elsewhere."""
    problems = [f"missing     {name}" for name in own if name not in given]
    problems += [f"unexpected  {name}" for name in given if name not in own]
    for name, array in own.items():
        new = given.get(name, array)
        if new.shape != array.shape:
            problems.append(f"shape       {name}: {new.shape}, expected {array.shape}")
        if new.dtype != array.dtype:
            problems.append(f"dtype       {name}: {new.dtype}, expected {array.dtype}")
        if not array.flags.writeable:
            problems.append(f"read-only   {name}")
    problems += also
    if problems:
        text = "\n  ".join([f"the state does not fit this {who}; nothing was changed", *problems])
        raise CheckpointError(text)
