"""Colours: text can be read on every ground."""

import pytest

from tinygrad_nn.viz.theme import DARK, KINDS, LIGHT


def _luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_a_contrast_of_seven_to_one(colours):
    grounds = [
        colours["ground"],
        colours["group-fill"],
        colours["hot-fill"],
        *(colours[f"{kind}-fill"] for kind in KINDS),
    ]
    for name in ("text", "muted", "gradient", "alert"):
        assert min(contrast(colours[name], ground) for ground in grounds) >= 7, name
