"""What can be opened and closed in the page: modules, and runs of those that look alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tinygrad_nn.viz.module_calls import Frame
from tinygrad_nn.viz.scene import Item, Scene


@dataclass(slots=True)
class Unit:
    """Modules that are one box when they are closed.

    Attributes:
        item: the box, with what it says.
        inside: the boxes of the whole picture that it stands for.
        frames: the frames of the whole picture that are gone then.
    """

    item: Item
    inside: list[str]
    frames: list[str]


def units(whole: Scene, folded: Iterable[Scene]) -> list[Unit]:
    """Return what can be closed in a picture, from scenes in which it is folded."""
    held = _held(whole)
    found: dict[frozenset[str], Unit] = {}
    for scene in folded:
        for item in scene.items.values():
            inside = _inside(whole, item)
            if inside and frozenset(inside) not in found:
                frames = [name for name, members in held.items() if members <= set(inside)]
                own = replace(item, id=f"u{len(found)}", group=None)
                found[frozenset(inside)] = Unit(own, inside, frames)
    return list(found.values())


def closed(whole: Scene, choices: Iterable[Unit], scene: Scene) -> list[str]:
    """Return the units that are closed in a picture that shows what a scene does."""
    ids = {frozenset(unit.inside): unit.item.id for unit in choices}
    insides = (frozenset(_inside(whole, item)) for item in scene.items.values())
    return [ids[inside] for inside in insides if inside]


def frame_units(whole: Scene, choices: Iterable[Unit]) -> dict[str, str]:
    """Return which unit closes each frame."""
    ids = {frozenset(unit.inside): unit.item.id for unit in choices}
    return {
        name: ids[frozenset(members)] for name, members in _held(whole).items() if frozenset(members) in ids
    }


def _inside(whole: Scene, item: Item) -> list[str]:
    """Return the boxes of the whole picture that a folded one stands for; none if it is one there too."""
    if item.kind != "module":
        return []
    own = set(item.values)
    boxes = [whole.items[name] for name in dict.fromkeys(whole.place[k] for k in item.values)]
    same = len(boxes) == 1 and boxes[0].kind == "module"
    return [] if same or any(not own.issuperset(box.values) for box in boxes) else [box.id for box in boxes]


def _held(whole: Scene) -> dict[str, set[str]]:
    """Return for each frame the boxes in it, those in frames that stand in it included."""
    held: dict[str, set[str]] = {group.id: set() for group in whole.groups.values()}
    for item in whole.items.values():
        frame: Frame | None = item.group
        while frame is not None:
            group = whole.groups[frame]
            held[group.id].add(item.id)
            frame = group.parent
    return held
