"""What if a number were another: the page's script computes what the ops compute, forward and back."""

import json
import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, viz
from tinygrad_nn.primitives import REGISTRY
from tinygrad_nn.viz import whatif
from tinygrad_nn.viz.document import asset

RNG = np.random.default_rng(0)
ABOVE, UNIT = np.abs(RNG.normal(size=(2, 3))) + 0.1, RNG.uniform(-0.9, 0.9, (2, 3))
# In digits that float32 has too.
REAL, ROW = (RNG.normal(size=(2, 3)) * 2).astype(np.float32).astype(np.float64), RNG.normal(size=3)
POSITIVE = ("sqrt", "log", "log2", "log10", "log1p")
LABELS = np.array([2, 0])


def one_operand(name):
    if name in POSITIVE:
        return [ABOVE]
    return (
        [1 + ABOVE]
        if name == "arccosh"
        else [UNIT]
        if name.startswith("arc") and name != "arcsinh"
        else [REAL]
    )


SEVERAL = {
    "power": [ABOVE, ROW],
    "xlogy": [ABOVE, np.abs(ROW)],
    "where": [REAL > 0, REAL, ROW],
    "clip": [REAL, -0.5, 0.7],
    "binary_cross_entropy_elements": [REAL, np.abs(UNIT)],
}
OPTIONS = {
    "leaky_relu": [{}, {"negative_slope": 0.3}],
    "elu": [{}, {"alpha": 0.4}],
    "huber_elements": [{"delta": 1.0}, {"delta": 0.3}],
}
AXES = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}]


def calls():
    """Yield calls of all ops that the script has words for: the name, the operands, and the keywords."""
    for name in sorted(whatif.MAPS):
        count = len(REGISTRY[name].rules)
        operands = SEVERAL.get(name) or (one_operand(name) if count == 1 else [REAL, ROW])
        for options in OPTIONS.get(name, [{}]):
            yield name, operands, options
    for name in sorted(whatif.FOLDS):
        for options in AXES if name != "euclidean_norm" else [{}]:
            yield name, [REAL], options
    for name in sorted(whatif.ROWS):
        for axis in (-1, 0):
            yield name, [REAL], {"axis": axis}
    for left, right in (((2, 3), (3, 2)), ((3,), (3, 2)), ((2, 3), (3,)), ((3,), (3,))):
        yield "matmul", [RNG.normal(size=left), RNG.normal(size=right)], {}
    for reduction in ("mean", "sum", "none"):
        yield "cross_entropy", [REAL, LABELS], {"reduction": reduction}
    yield "nll", [tn.log_softmax(REAL), LABELS], {}


PICKED = {
    "reshape": lambda x: x.reshape(3, 2),
    "transpose": lambda x: x.T,
    "getitem": lambda x: x[np.array([1, 0, 1]), 1:],
    "squeeze": lambda x: x[:1].squeeze(),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "concatenate": lambda x: np.concatenate([x, ROW[None], x * 2]),
    "stack": lambda x: np.stack([x, x * x], axis=1),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "flip": lambda x: np.flip(x, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "diagonal": lambda x: np.diagonal(x),
    "astype": lambda x: x.astype(np.float32).astype(np.float64),
}


def page_of(window, picture, path):
    picture.html(path)
    window.open(path)
    return window


def lesson():
    """The neuron of a first lesson, as a graph."""
    numbers = {"x1": 2.0, "x2": 0.0, "w1": -3.0, "w2": 1.0, "b": 6.8813735870195432}
    x1, x2, w1, w2, b = (
        tn.tensor(x, dtype=np.float64, requires_grad=True, name=n) for n, x in numbers.items()
    )
    return np.tanh(x1 * w1 + x2 * w2 + b).graph()


def program(picture):
    return whatif.program(picture.graph, picture.facts)


def leaf(x):
    real = isinstance(x, np.ndarray | float) and np.asarray(x).dtype.kind == "f"
    return tn.tensor(x, dtype=np.float64, requires_grad=True) if real else x


def test_every_word_computes_what_its_op_computes_forward_and_back(window, tmp_path):
    page = page_of(window, lesson(), tmp_path / "page.html")
    cases = []
    for name, operands, options in calls():
        leaves = [leaf(x) for x in operands]
        y = REGISTRY[name](*leaves, **options)
        # With a cotangent that is not one.
        shape = str([np.shape(x) for x in operands])
        cases.append((f"{name} {options} {shape}", leaves, np.sin(y).sum() if y.requires_grad else y.sum()))
    for name, function in PICKED.items():
        x = leaf(REAL)
        cases.append((name, [x], np.sin(function(x)).sum()))
    programs = [program(total.graph()) for _, _, total in cases]
    assert [case[0] for case, found in zip(cases, programs, strict=True) if "missing" in found] == []
    results = page.run(
        "return arguments[0].map(one => { const done = arithmetic.run(one, one.leaves);"
        " return [done.values[one.output][0], done.gradients]; })",
        json.loads(json.dumps(programs)),
    )
    compared = set()
    for (what, leaves, total), (value, gradients) in zip(cases, results, strict=True):
        assert value == pytest.approx(total.item(), rel=1e-9, abs=1e-12), what
        picture = total.graph()
        for k in picture.facts.gradients:
            data = picture.graph.values[k].data
            for n, x in enumerate(leaves):
                if isinstance(x, tn.Tensor) and x._data is data:
                    (expected,) = tn.gradients(total, [x], retain_graph=True)
                    found = np.reshape(gradients[str(k)], x.shape)
                    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-11, err_msg=what)
                    compared.add((what, n))
    assert len(compared) > 100
    assert {what for what, _, total in cases if total.requires_grad} == {what for what, _ in compared}


def test_the_words_of_the_script_are_those_of_the_table():
    script = asset("viz/assets/words.js")
    tables = {
        table: set(
            re.findall(
                r"(?:^|[{,\s])(\w+): \[", re.search(rf"const {table} = \{{(.*?)\n\}};", script, re.DOTALL)[1]
            )
        )
        for table in ("maps", "folds", "rows")
    }
    assert tables == {"maps": set(whatif.MAPS), "folds": set(whatif.FOLDS), "rows": set(whatif.ROWS)}
    assert set(REGISTRY) >= whatif.MAPS | whatif.FOLDS | whatif.ROWS | whatif.PICKS


TEXTS = "return [...document.querySelectorAll('.node:not([hidden]) text.{}')].map(text => text.textContent)"
SET = (
    "choose(data.values.findIndex(value => value.name === arguments[0]));"
    "const field = document.querySelectorAll('.whatif input[type=number]')[arguments[2] || 0];"
    "field.value = arguments[1]; field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change'));"
)


def test_names_in_captions_stay_as_they_are_while_numbers_are_tried(window, tmp_path):
    a, b = (tn.tensor(x, dtype=np.float64, requires_grad=True) for x in (2.0, 3.0))
    page = page_of(window, (a * b).graph(names={"{0}": a, "$&{7}": b}), tmp_path / "page.html")
    page.press("End")
    page.run(SET, "$&{7}", 5)
    caption = page.run("return document.getElementById('caption').textContent")
    assert caption == "backwardmultiply: {0} gets g · $&{7} = 5, and $&{7} gets g · {0} = 2"
    assert "What if: $&{7}" in page.run("return document.querySelector('.trying').innerText")
    assert page.console() == []


def test_values_and_gradients_follow_in_the_whole_page(window, tmp_path):
    page = page_of(window, lesson(), tmp_path / "page.html")
    before = page.run(TEXTS.format("value")), page.run(TEXTS.format("gradient"))
    page.run(SET, "w1", -2)
    w1 = tn.tensor(-2.0, dtype=np.float64, requires_grad=True)
    y = np.tanh(2.0 * w1 + 6.8813735870195432)
    y.backward()
    assert f"{y.item():.4g}" in page.run(TEXTS.format("value"))
    assert f"grad {w1.grad.item():.4g}" in page.run(TEXTS.format("gradient"))
    panel = page.run("return document.getElementById('node').innerText")
    assert re.search(rf"Value\s+-2\b.*Gradient\s+{w1.grad.item():.4g}", panel, re.DOTALL)
    assert "What if: w1" in page.run("return document.querySelector('.trying').innerText")
    page.press("End")
    page.run(SET, "w1", -2)
    assert page.run("return document.querySelector('#node h2').firstChild.textContent") == "w1"
    caption = page.run("return document.getElementById('caption').textContent")
    results = f"−{w1.grad.item():.4g}", f"{w1.grad.item():.4g}"
    assert caption == "backwardmultiply: x1 gets g · w1 = {}, and w1 gets g · x1 = {}".format(*results)
    assert f"{w1.grad.item():.4g}" in page.run("return document.getElementById('arrivals').innerText")
    page.press("Home")
    page.run("document.querySelector('.trying button').click()")
    assert (page.run(TEXTS.format("value")), page.run(TEXTS.format("gradient"))) == before
    assert page.run("return document.querySelector('.trying').hidden")
    assert page.console() == []


def test_sliders_drag_and_keys_that_are_typed_are_no_commands(window, tmp_path):
    page = page_of(window, lesson(), tmp_path / "page.html")
    page.run(
        "choose(data.values.findIndex(value => value.name === 'b'));"
        "const range = document.querySelector('.whatif input[type=range]');"
        "for (const x of [5, 4, 3]) { range.value = x; range.dispatchEvent(new Event('input')); }"
    )
    assert "3" in page.run(TEXTS.format("value"))
    page.run(
        "const field = document.querySelector('.whatif input[type=number]'); field.focus(); field.select();"
    )
    view = "return document.querySelector('svg.level').getAttribute('viewBox')"
    zoomed = page.run(view)
    page.press("-", "1", ".", "5")
    assert "-1.5" in page.run(TEXTS.format("value"))
    assert page.run(view) == zoomed
    assert page.console() == []


def test_entries_of_matrices_change_one_by_one(window, tmp_path):
    model, x = (
        nn.Sequential(nn.Dense(2, 4, rng=0), nn.Tanh(), nn.Dense(4, 2, rng=1)),
        REAL[:, :2].astype(np.float32),
    )
    loss = nn.losses.cross_entropy(model(x), np.array([0, 1]))
    page = page_of(window, loss.graph(names={"x": x}), tmp_path / "page.html")
    model[2].weight.data[1, 0] = 3.0
    page.run(SET, "2.weight", 3, 2)
    assert (
        page.run("return [...document.querySelectorAll('.whatif label')].map(x => x.textContent)")[2]
        == "2.weight[1, 0]"
    )
    again = nn.losses.cross_entropy(model(x), np.array([0, 1])).item()
    said = page.run("return document.querySelector('.whatif .sum').textContent")
    assert float(re.search(r"= (\S+)", said)[1]) == pytest.approx(again, rel=1e-3)


def test_what_has_no_word_is_named_and_nothing_can_be_changed(window, tmp_path):
    x = tn.tensor([1.0, 2.0], requires_grad=True, name="x")
    page = page_of(window, np.cumsum(x * x).sum().graph(), tmp_path / "page.html")
    assert "the page has no word for cumsum" in page.run(
        "return document.getElementById('overview').innerText"
    )
    page.run("choose(data.values.findIndex(value => value.name === 'x'))")
    assert page.run("return document.querySelector('.whatif')") is None
    assert page.console() == []


def test_options_that_the_script_does_not_know_have_no_word():
    x = tn.tensor(REAL, requires_grad=True, name="x")
    assert program(x.var(ddof=1).graph())["missing"] == ["var"]
    assert program((RNG.normal(size=(2, 2, 2)) @ x).sum().graph())["missing"] == ["matmul"]


def test_large_graphs_and_backward_passes_have_no_program():
    model = nn.Sequential(nn.Dense(40, 40, rng=0))
    assert program(model.graph(np.ones((1, 40), np.float32))) is None
    assert program(viz.draw(tn.value_and_grad(lambda x: (x * x).sum()), REAL)) is None
    assert program(lesson()) is not None
    assert program(tn.tensor(2.0, requires_grad=True).exp().graph(values=False)) is None


def test_a_program_keeps_the_numbers_of_when_it_was_drawn():
    w = tn.tensor([1.0, 2.0], requires_grad=True, name="w")
    picture = (w * w).sum().graph()
    with tn.no_grad():
        w -= 1
    assert program(picture)["leaves"][0] == [1.0, 2.0]


def test_numbers_that_are_not_finite_reach_the_script(window, tmp_path):
    x = tn.tensor([1.0, np.inf, np.nan], requires_grad=True, name="x")
    page = page_of(window, (x * 2).sum().graph(), tmp_path / "page.html")
    page.run(SET, "x", 5, 0)
    assert page.run(TEXTS.format("value"))[0] == "[5, inf, nan]"
    assert page.console() == []


def test_the_policy_forbids_code_from_text():
    text = lesson().html()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "unsafe" not in policy
    assert "eval(" not in text
    assert "Function(" not in text


def test_a_setting_that_is_not_finite_reaches_the_script(window, tmp_path):
    x = tn.tensor([1.0, -2.0], requires_grad=True, name="x")
    page = page_of(window, tn.leaky_relu(x, negative_slope=np.inf).sum().graph(), tmp_path / "page.html")
    assert page.run("return data.whatif.calls[0].do[0].p === Infinity")
    assert page.console() == []
