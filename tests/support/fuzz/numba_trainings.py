"""The trainings of `compiled_trainings`, all with Numba. Machine code fills memory: some hundreds for each run."""

from functools import partial

from tests.support.fuzz import compiled_trainings

case = partial(compiled_trainings.case, backend="numba")
