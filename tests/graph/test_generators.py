"""Which random generators a function can reach, and that they are put back."""

import types
from random import Random, SystemRandom

import numpy as np
import pytest

from tinygrad_nn.graph import generators

GENERATOR = np.random.default_rng(0)


class Mine:
    rng = np.random.default_rng(1)


def installed():
    """Return a class of an installed package, which has a generator."""
    return type("Theirs", (), {"__module__": "numpy.random", "rng": np.random.default_rng(2)})


class Slotted:
    __slots__ = ("rng",)


def defaults(x, rng=GENERATOR):
    return x


def keyword_default(x, *, rng=GENERATOR):
    return x


def by_global(x):
    return GENERATOR.random() * x


def inside_of_a_lambda(x):
    return (lambda: GENERATOR.random())() * x


def by_class(x):
    return Mine.rng.random() * x


def by_module(x):
    return np.random.rand() * x  # noqa: NPY002


def by_instance():
    holder = Slotted()
    holder.rng = [{"a": (np.random.RandomState(0),)}]
    return lambda x: holder.rng


def by_method():
    holder = Slotted()
    holder.rng = Random(0)
    holder = types.SimpleNamespace(inside=holder)
    return types.MethodType(lambda self, x: x, holder)


@pytest.mark.parametrize(
    "root",
    [
        GENERATOR,
        defaults,
        keyword_default,
        by_global,
        inside_of_a_lambda,
        by_class,
        by_module,
        by_instance(),
        by_method(),
        GENERATOR.random,
        Random(1).random,
        [{"a": GENERATOR}],
    ],
)
def test_a_generator_is_found_wherever_a_function_holds_or_names_it(root):
    assert len(generators.reachable(root)) == 1


@pytest.mark.parametrize(
    "root", [lambda x: x, installed(), types.ModuleType("m"), np.zeros(3), None, np.linalg.norm]
)
def test_what_draws_nothing_and_the_classes_of_packages_have_none(root):
    assert generators.reachable(root) == []


def test_the_entropy_of_the_system_has_no_state_to_put_back():
    source = SystemRandom()
    assert generators.reachable(lambda: source.random(), source.choice) == []


def test_machine_code_which_holds_all_that_has_been_compiled_is_not_looked_into():
    function = pytest.importorskip("numba").njit(lambda x: x)
    function.holds = GENERATOR
    assert generators.reachable(function) == []


@pytest.mark.parametrize(
    ("generator", "draw"),
    [
        (np.random.default_rng(0), np.random.Generator.normal),
        (np.random.RandomState(0), np.random.RandomState.rand),
        (Random(0), Random.random),
        (np.random.PCG64(0), np.random.PCG64.random_raw),
    ],
)
def test_generators_are_put_back_also_after_an_error(generator, draw):
    def fail():
        with generators.put_back([generator, generator]) as moved:
            assert moved() == []
            drawn.append(draw(generator))
            assert moved() == [generator]
            raise ZeroDivisionError

    drawn = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert drawn == [draw(generator)] * 2
