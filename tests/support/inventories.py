"""The names of NumPy and where its documentation has them, for links of ours: `python -m tests.support.inventories`.

NumPy's documentation has one page for each public name, called after it; the site is built without a network.
"""

import inspect
import types
import zlib
from pathlib import Path

import numpy as np

FILE = Path(__file__).parents[2] / "docs" / "inventories" / "numpy.inv"
MODULES = ("numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.testing")


def entries():
    """Yield the lines of the inventory, one a name."""
    for module in MODULES:
        space = np
        for part in module.split(".")[1:]:
            space = getattr(space, part)
        for name in sorted(space.__all__):
            value = getattr(space, name)
            if isinstance(value, types.ModuleType) or name.startswith("_"):
                continue
            full = f"{module}.{name}"
            page = f"reference/generated/{full}.html#{full}"
            if module == "numpy.random":
                page = f"reference/random/generated/{full}.html#{full}"
            yield f"{full} py:{'class' if inspect.isclass(value) else 'function'} 1 {page} -"


def text():
    """Return the inventory in the format of Sphinx: four lines, then the entries compressed."""
    head = "# Sphinx inventory version 2\n# Project: NumPy\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    return head.encode() + zlib.compress(("\n".join(entries()) + "\n").encode(), 9)


if __name__ == "__main__":
    FILE.write_bytes(text())
    print(FILE, FILE.stat().st_size, "bytes")
