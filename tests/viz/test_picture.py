"""draw and graph: what can be drawn, under which names, and what cannot."""

import inspect
import subprocess
import sys
from typing import get_type_hints

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, loss, network
from tinygrad_nn import nn, viz
from tinygrad_nn.errors import GraphError, GraphFreed
from tinygrad_nn.viz.options import Options


def test_a_released_graph_and_a_model_without_inputs_say_what_to_do():
    y = loss()
    y.backward()
    with pytest.raises(GraphFreed, match="retain_graph"):
        y.graph()
    with pytest.raises(GraphError, match="needs example inputs"):
        network().graph()
    with pytest.raises(GraphError, match="takes no inputs"):
        loss().graph(X)
    with pytest.raises(GraphError, match="neither a tensor"):
        viz.draw(3)
    with pytest.raises(GraphError, match="no operand"):
        loss().graph(names={"z": X.copy()})
    with pytest.raises(GraphError, match="no tensor to draw"):
        viz.draw(lambda x: 3, X)


def test_names_of_a_picture_do_not_rename_tensors():
    w = tn.tensor(X, requires_grad=True, name="w")
    assert str((w * X).graph(names={"v": w, "x": X})).startswith("%1 = multiply(v, x)")
    assert w.name == "w"


@pytest.mark.parametrize(
    ("function", "args", "line"),
    [
        (np.tanh, (X,), "%1 = tanh(x)   (8, 5)"),
        (lambda x, k=2: x * k, (3.0, 4), "%1 = multiply(x, 4)   ()"),
        (lambda x: x[1:, [0, 2]], (X,), "getitem(x, array, index=(slice(1, None, None), ..array..))"),
        (lambda x: x > 0, (X,), "%1 = greater(x, 0)   (8, 5) bool"),
        (lambda a, b: (a + b, {"s": (a * b).sum()}), (X, X), "%3 = sum(%2)"),
        (tn.hessian(lambda x: (x**3).sum()), (X[0],), "gradient of %"),
    ],
)
def test_functions_of_all_kinds_are_drawn(function, args, line):
    picture = viz.draw(function, *args)
    assert line in str(picture)
    for form in (picture.svg, picture.html, picture.json, picture.mermaid, picture.explain):
        assert form()


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="direction is one of 'LR', 'TB'"):
        loss().graph(direction="RL")
    with pytest.raises(ValueError, match="max_nodes"):
        loss().graph(max_nodes=0)
    with pytest.raises(TypeError, match="colour"):
        loss().graph(colour="red")


def test_type_checkers_know_the_options_and_their_types():
    typed = {name: str(hint) for name, hint in get_type_hints(viz.DrawOptions).items()}
    assert typed == {name: str(hint) for name, hint in get_type_hints(Options).items()}
    for function in (viz.draw, tn.Tensor.graph, nn.Module.graph):
        (options,) = [p for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_KEYWORD]
        assert options.annotation == "Unpack[DrawOptions]"


def test_what_draws_is_loaded_when_something_is_drawn():
    program = (
        "import sys, tinygrad_nn as tn\n"
        "before = [name for name in sys.modules if name.startswith('tinygrad_nn.viz.')]\n"
        "print(before, tn.viz.Picture.__name__, tn.viz.DrawOptions.__name__, hasattr(tn.viz, 'picutre'))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[] Picture DrawOptions False\n"


def test_an_option_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(TypeError, match=r"graph: there is no keyword color='red'\n  takes  names, depth"):
        loss().graph(color="red")


def test_numbers_that_differ_in_their_last_digits_can_be_drawn():
    x = tn.tensor(1 + np.arange(6) * np.finfo(float).eps, requires_grad=True, name="x")
    assert "x" in (x * 2).sum().graph().html()


def test_an_explanation_is_shown_as_it_prints():
    x = tn.tensor(3.0, requires_grad=True, name="x")
    story = (x * x).explain()
    assert isinstance(story, str)
    assert repr(story) == str(story)
    assert repr(story).startswith("forward\n")
