"""A film as a moving picture: what the model has learned, beside the loss; with Pillow (extra `plot`)."""

from __future__ import annotations

import io

import numpy as np

from tinygrad_nn.plot import COLORS
from tinygrad_nn.train.film import still
from tinygrad_nn.train.film.recording import Recording

FRAMES = 100


def gif(recording: Recording, seconds: float) -> bytes:
    """Return the bytes of a GIF that takes so long."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError(
            "moving pictures need the package Pillow\n  hint   pip install 'tinygrad_nn[plot]'"
        ) from error
    shown = recording.thinned(FRAMES)
    places = [k for k, frame in enumerate(recording.frames) if any(frame is other for other in shown)]
    losses = recording.steps.get("loss", [])
    font = ImageFont.load_default(14)
    painter, pictures = still.Painter(recording), []
    for place in places:
        frame = recording.frames[place]
        painted = painter.pictures(place)
        main = next((painted[name] for name in ("plane", "guesses", "weights") if name in painted), None)
        height, width = (still.SIZE, 8) if main is None else main.shape[:2]
        canvas = Image.new("RGB", (width + 340, max(height, still.SIZE) + 40), "white")
        draw = ImageDraw.Draw(canvas)
        if main is not None:
            canvas.paste(Image.fromarray(np.ascontiguousarray(main)), (8, 30))
        draw.text((8, 8), f"{recording.title}   step {frame.step}", fill="#111827", font=font)
        left, top, across, down = width + 24, 40, 300, 200
        draw.rectangle((left, top, left + across, top + down), outline="#94a3b8")
        corners = [(left + x, top + y) for x, y in still.points_of(losses, across, down)]
        if len(corners) > 1:
            draw.line(corners, fill=COLORS[0], width=2)
        done = (frame.step - recording.start) / max(len(losses), 1)
        draw.line((left + across * done, top, left + across * done, top + down), fill=COLORS[1], width=2)
        loss = losses[min(frame.step - recording.start, len(losses)) - 1] if losses else float("nan")
        draw.text(
            (left, top + down + 8), f"loss {loss:.4f}   rate {frame.rate:.4g}", fill="#111827", font=font
        )
        pictures.append(canvas.quantize(128))
    out = io.BytesIO()
    pause = max(20, round(1000 * seconds / len(pictures)))
    pictures[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[pause] * (len(pictures) - 1) + [2000],
        loop=0,
    )
    return out.getvalue()
