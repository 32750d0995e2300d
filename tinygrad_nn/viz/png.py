"""Pictures as the addresses of PNG files that hold them, for pages that load nothing."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from tinygrad_nn.primitives import Array

GREY, COLOURS, PALETTE = 0, 2, 3
"""What a pixel is: how bright, or three bytes of colour, or a place in the palette."""


def address(lines: Array, width: int, bits: int, kind: int, palette: bytes = b"") -> str:
    """Return a picture as the address of a PNG.

    Args:
        lines: its bytes, a row for each line.
        width: pixels of a line.
        bits: of a pixel, or of each of its colours.
        kind: one of those above.
        palette: three bytes for each of its colours.
    """
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, len(lines), bits, kind, 0, 0, 0))]
    if palette:
        parts.append((b"PLTE", palette))
    # Each line begins with how it is filtered: not at all.
    content = np.pad(lines.astype(np.uint8), ((0, 0), (1, 0))).tobytes()
    parts += [(b"IDAT", zlib.compress(content, 9)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return "data:image/png;base64," + base64.b64encode(file).decode()
