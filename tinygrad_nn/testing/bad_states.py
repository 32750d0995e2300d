"""Loading a state, of a module or an optimizer: all of it, or an error that names what is wrong and no change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from tinygrad_nn.errors import CheckFailed, CheckpointError
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.verdict import require

State = Mapping[str, Array]


class Stateful(Protocol):
    """A module or an optimizer."""

    def state_dict(self) -> dict[str, Array]:
        """Return the state, by name."""

    def load_state_dict(self, state: State) -> None:
        """Restore a state."""


def copied(state: State) -> dict[str, Array]:
    """Return a state of new arrays, which share memory with nothing."""
    return {name: np.array(array) for name, array in state.items()}


def same_states(a: State, b: State) -> bool:
    """Tell whether two states are equal bit for bit: names and their order, dtypes, values."""
    one, two = copied(a), copied(b)
    return list(one) == list(two) and all(
        one[name].dtype == two[name].dtype and np.array_equal(one[name], two[name]) for name in one
    )


def refuses_bad_states(who: str, owner: Stateful) -> None:
    """Load states in which one array is missing or has another shape; the others differ, so that a change shows.

    Raises:
        CheckFailed: such a state is loaded, in part or whole, or the error does not name the array.
    """
    good = copied(owner.state_dict())
    for name, array in good.items():
        others = {key: np.asarray(value + 1) for key, value in good.items() if key != name}
        misshapen = np.zeros((7, *array.shape), array.dtype)
        for attempt in ({**others, name: misshapen}, others):
            try:
                owner.load_state_dict(attempt)
            except CheckpointError as error:
                require(who, name in str(error), f"the error for a bad {name} does not name it")
            else:
                raise CheckFailed(f"{who}: a state with a bad {name} is loaded")
            require(who, same_states(owner.state_dict(), good), "a failed load has changed the state")
