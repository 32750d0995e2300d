"""What the page knows of each neuron: its numbers, and the terms of its sums, for every example."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.primitives import Array
from tinygrad_nn.viz.network.images import href
from tinygrad_nn.viz.network.layers import Column
from tinygrad_nn.viz.network.painting import rounded, scale, weights
from tinygrad_nn.viz.network.sheet import Place, Sheet

_TERMS = 6
"""Terms of a sum that are written out, of layers of which neurons are left out; the script has those of others."""

Entry = dict[str, object]


def places(sheet: Sheet) -> list[Entry]:
    """Return all places as plain data for JSON, empty entries left out."""
    entries = [_place(sheet, k, place) for k, place in enumerate(sheet.places)]
    return [
        {key: part for key, part in entry.items() if part not in ("", None)} | {"spare": round(place.spare)}
        for entry, place in zip(entries, sheet.places, strict=True)
    ]


def _place(sheet: Sheet, k: int, place: Place) -> Entry:
    column = place.stage
    if not isinstance(column, Column):
        return {"kind": place.kind, "name": place.title}
    entry: Entry = {
        "kind": place.kind,
        "name": place.title,
        "formula": column.formula,
        "shown": place.shown,
        "ofRows": column.of_rows or None,
        "a": _rows(column.values, sheet, place),
        "scale": [scale(column.values, sheet.examples), _scale(column.to_before, sheet)],
        "d": _rows(column.to_before, sheet, place),
    }
    if column.formula:
        entry["z"] = _rows(column.before, sheet, place)
        entry["g"] = _rows(column.to_values, sheet, place)
        entry["slope"] = _rows(column.slope, sheet, place)
    if column.weight is not None:
        before = sheet.places[k - 1]
        if before.left or before.image:
            entry["in"] = [_incoming(sheet, k, e) for e in range(sheet.examples)]
        if column.bias is not None:
            entry["b"] = rounded(column.bias[place.shown]).tolist()
        if before.kind == "neurons":
            table, most = weights(before, place)
            entry |= {"w": table.ravel().tolist(), "wMost": most}
        if before.image is not None:
            entry["weights"] = [
                href(column.weight[:, n].reshape(before.image), signed=True) for n in place.shown
            ]
            entry["image"] = before.image
    if column.to_before is not None and k + 1 < len(sheet.places):
        after = sheet.places[k + 1]
        if after.left:
            entry["out"] = [_outgoing(sheet, k, e) for e in range(sheet.examples)]
    if place.image is not None:
        entry["images"] = [
            href(x.reshape(place.image), signed=False) for x in column.values[: sheet.examples]
        ]
        if column.to_before is not None:
            back = column.to_before[: sheet.examples]
            entry["gradients"] = [href(x.reshape(place.image), signed=True) for x in back]
    return entry


def _rows(array: Array | None, sheet: Sheet, place: Place) -> list[list[float]] | None:
    """Return the numbers of the shown neurons, a list for each example."""
    if array is None or place.image is not None:
        return None
    rows: list[list[float]] = rounded(array[: sheet.examples][:, place.shown]).tolist()
    return rows


def _scale(array: Array | None, sheet: Sheet) -> float:
    return 0.0 if array is None else scale(array, sheet.examples)


def _incoming(sheet: Sheet, k: int, example: int) -> list[list[object]]:
    """Return for each shown neuron of a place the terms w · a of its z."""
    column, before = sheet.places[k].stage, sheet.places[k - 1].stage
    assert isinstance(column, Column)
    assert isinstance(before, Column)
    assert column.weight is not None
    a = before.values[example]
    return [_terms(column.weight[:, n], a) for n in sheet.places[k].shown]


def _outgoing(sheet: Sheet, k: int, example: int) -> list[list[object]]:
    """Return for each shown neuron of a place the terms w · δ of the derivative by its a."""
    place, after = sheet.places[k], sheet.places[k + 1].stage
    assert isinstance(after, Column)
    if after.weight is None or after.to_before is None or place.image is not None:
        return []
    delta = after.to_before[example]
    return [_terms(after.weight[n], delta) for n in place.shown]


def _terms(factors: Array, others: Array) -> list[object]:
    """Return the largest products as [which, factor, other], how many are left, and what these sum to."""
    products = factors.astype(np.float64) * others
    chosen = np.arange(len(products))
    if len(products) > _TERMS:
        chosen = np.sort(np.argsort(-np.abs(products), kind="stable")[:_TERMS])
    rest = np.delete(products, chosen)
    pairs = zip(chosen.tolist(), rounded(factors[chosen]), rounded(others[chosen]), strict=True)
    flat = [float(x) if n else int(x) for triple in pairs for n, x in enumerate(triple)]
    return [flat, len(rest), float(rounded(rest.sum()))]
