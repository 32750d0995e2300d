"""What all pages are: one file that loads nothing, with style, script and data, and a policy that forbids more."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

# What all pages look like, and what their scripts have in common.
_SHARED = "viz/assets/base"


@cache
def asset(path: str) -> str:
    """Return a text file of the package by its path there."""
    return files("tinygrad_nn").joinpath(path).read_text(encoding="utf-8").strip()


@cache
def _script(*paths: str) -> str:
    """Return scripts as one without indentation and comments, which a small page does without."""
    lines = (line.strip() for path in paths for line in asset(path).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def variables(light: Mapping[str, str], dark: Mapping[str, str]) -> str:
    """Return the colours of both themes as variables of a style sheet; the page says which theme it shows."""
    blocks = []
    for name, colours in (("light", light), ("dark", dark)):
        inside = "".join(f"--{key}:{value};" for key, value in colours.items())
        blocks.append(f":root[data-theme={name}]{{color-scheme:{name};{inside}}}")
    return "\n".join(blocks)


def encoded(data: object) -> str:
    """Return data as JSON that may stand in a page; numbers that JSON does not have are texts, "#NaN"."""
    text = json.dumps(_finite(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


def _finite(data: object) -> object:
    if isinstance(data, dict):
        return {key: _finite(part) for key, part in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(part) for part in data]
    if isinstance(data, float) and not math.isfinite(data):
        return "#NaN" if math.isnan(data) else "#Infinity" if data > 0 else "#-Infinity"
    return data


def document(
    folder: str,
    name: str,
    fields: Mapping[str, str],
    *,
    styles: Iterable[str],
    css: str,
    scripts: Iterable[str],
    data: object,
    allowed: str = "",
) -> str:
    """Return a page: a body in which names between @@ stand for fields, in the frame that all pages have.

    Args:
        folder: of the package, where files of the page are.
        name: of the file with the body.
        fields: HTML by name.
        styles, scripts: names of files, in their order, behind those that all pages have.
        css: what styles besides.
        data: what the scripts are given.
        allowed: what the policy allows besides, with a semicolon before it.
    """
    style = "\n".join([asset(f"{_SHARED}.css"), *(asset(f"{folder}/{file}") for file in styles), css])
    script = _script(f"{_SHARED}.js", *(f"{folder}/{file}" for file in scripts))
    sources = f"style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:{allowed}"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    inside = {**fields, "POLICY": policy, "STYLE": style, "SCRIPT": script, "DATA": encoded(data)}
    page = asset("viz/assets/frame.html").replace("@@BODY@@", asset(f"{folder}/{name}"))
    page = page.replace("@@MENU@@", asset("viz/assets/menu.html"))
    parts = page.split("@@")
    return "".join(inside[part] if k % 2 else part for k, part in enumerate(parts))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
