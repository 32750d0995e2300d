"""Random graphs with reuse, views, detach and no_grad: autodiff is the complex step of a replay in NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tinygrad_nn.testing import strategies
from tinygrad_nn.testing.random_programs import BINARY, SHAPES, UNARY, RandomProgram, RandomStep


@given(strategies.graphs())
def test_random_programs_have_the_gradients_of_their_replay(program):
    program.check()


class GrowingGraph(RuleBasedStateMachine):
    """A graph that grows step by step, and is right after every step."""

    @initialize(
        inputs=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3).flatmap(
            lambda shapes: st.tuples(*[strategies.arrays(shape, low=-2, high=2) for shape in shapes])
        )
    )
    def start(self, inputs):
        self.program = RandomProgram(inputs)

    def _grow(self, name, draws, choice=0):
        known = len(self.program.inputs) + len(self.program.steps)
        step = RandomStep(name, tuple(draw % known for draw in draws), choice)
        self.program = RandomProgram(self.program.inputs, (*self.program.steps, step))

    @rule(name=st.sampled_from(list(UNARY)), operand=st.integers(0, 99), choice=st.integers(0, 5))
    def unary(self, name, operand, choice):
        self._grow(name, (operand,), choice)

    @rule(name=st.sampled_from(list(BINARY)), left=st.integers(0, 99), right=st.integers(0, 99))
    def binary(self, name, left, right):
        self._grow(name, (left, right))

    @rule(name=st.sampled_from(list(BINARY)), operand=st.integers(0, 99))
    def with_itself(self, name, operand):
        self._grow(name, (operand, operand))

    @invariant()
    def gradients_are_those_of_the_replay(self):
        self.program.check()


TestGrowingGraph = GrowingGraph.TestCase
TestGrowingGraph.settings = settings(
    stateful_step_count=12, max_examples=max(10, settings.default.max_examples // 2)
)


def test_every_kind_of_step_is_right_on_every_shape():
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        for other in SHAPES:
            inputs = (rng.normal(size=shape), rng.normal(size=other))
            for name in UNARY:
                RandomProgram(inputs, (RandomStep(name, (0,), 1), RandomStep("multiply", (2, 1)))).check()
            for name in BINARY:
                RandomProgram(inputs, (RandomStep(name, (0, 1)), RandomStep("multiply", (2, 0)))).check()


def test_the_check_fails_on_a_wrong_gradient(monkeypatch):
    from tinygrad_nn.primitives.record import REGISTRY

    monkeypatch.setattr(REGISTRY["sin"].rules[0], "function", lambda g, x: g * np.cos(x) * 1.0001)
    with pytest.raises(AssertionError, match="the complex step gives"):
        RandomProgram((np.array([0.3, 0.4]),), (RandomStep("tanh", (0,)),)).check()
