"""Loading a state, of a module or an optimizer: all of it, or an error that names what is wrong and no change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_nn.errors import CheckFailed, CheckpointError


def refuses_bad_states(
    who: str,
    good: Mapping[str, Any],
    load: Callable[[Mapping[str, Any]], None],
    unchanged: Callable[[], bool],
) -> None:
    """Load states in which one array is missing or has another shape; the others differ, so that a change shows.

    Raises:
        CheckFailed: such a state is loaded, in part or whole, or the error does not name the array.
    """
    for name, array in good.items():
        others = {key: np.asarray(value + 1) for key, value in good.items() if key != name}
        misshapen = np.zeros((7, *np.shape(array)), np.asarray(array).dtype)
        for attempt in ({**others, name: misshapen}, others):
            try:
                load(attempt)
            except CheckpointError as error:
                if name not in str(error):
                    raise CheckFailed(f"{who}: the error for a bad {name} does not name it") from error
            else:
                raise CheckFailed(f"{who}: a state with a bad {name} is loaded")
            if not unchanged():
                raise CheckFailed(f"{who}: a failed load has changed the state")
