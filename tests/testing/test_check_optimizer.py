"""check_optimizer: it finds planted bugs, and passes an optimizer without them."""

from contextlib import suppress

import numpy as np
import pytest

from tests.support.leaves import weights
from tests.support.update_rules import sgd
from tinygrad_nn.errors import CheckFailed, CheckpointError
from tinygrad_nn.optim import SGD
from tinygrad_nn.testing import check_optimizer


class _Sloppy(SGD):
    def __init__(self, parameters, bug):
        if bug == "takes anything":
            parameters = parameters or weights()
        super().__init__(parameters, lr=0.1, momentum=0.9)
        self.bug = bug

    def step(self):
        if self.bug == "writes":
            for p in self.parameters:
                if p.grad is not None:
                    p.grad *= 2
        numbers = [p._node.number for p in self.parameters]
        super().step()
        if self.bug == "tells nobody":
            for p, number in zip(self.parameters, numbers, strict=True):
                p._node.number = number
        if self.bug == "rebinds":
            for p in self.parameters:
                p.data = p.data.copy()
        if self.bug == "decays":
            for p in self.parameters:
                p.data[...] *= 0.999

    def state_dict(self):
        state = super().state_dict()
        if self.bug == "forgets":
            state["0.velocity"] = np.zeros_like(state["0.velocity"])
        return state

    def load_state_dict(self, state):
        if self.bug == "half":
            self.steps[...] = np.sum(state.get("steps", 0))
        with suppress(CheckpointError if self.bug == "loads anything" else ()):
            super().load_state_dict(state)


BUGS = {
    "writes": "a step writes into the gradient",
    "rebinds": "parameter is not updated in place",
    "decays": "a parameter without a gradient is changed",
    "forgets": "a run that was saved and restored differs",
    "half": "a failed load has changed the state",
    "formula": "after step 2 the parameter is",
    "takes anything": "an empty list is accepted as parameters",
    "tells nobody": "a graph from before the step can be differentiated after it",
    "loads anything": "a state with a bad steps is loaded",
}


@pytest.mark.parametrize("bug", BUGS)
def test_check_optimizer_finds_planted_bugs(bug):
    formula = sgd(0.1, 0.9 + 1e-9) if bug == "formula" else None
    with pytest.raises(CheckFailed, match=f"check_optimizer: .*{BUGS[bug]}"):
        check_optimizer(lambda ps: _Sloppy(ps, bug), formula)


def test_check_optimizer_passes_one_without_bugs_also_without_a_formula():
    check_optimizer(lambda ps: _Sloppy(ps, None))
