"""Whether the arrays of a saved state fit those that they are to be copied into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
