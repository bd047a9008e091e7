"""COCO's panoptic classes (Kirillov et al., arXiv 1801.00868), and which of them a subject's words mean; no torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType

from motionkit.errors import UserError

_THINGS = """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack,
umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse,
remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier,
toothbrush"""
_STUFF = """banner, blanket, bridge, cardboard, counter, curtain, door-stuff, floor-wood, flower, fruit, gravel, house,
light, mirror-stuff, net, pillow, platform, playingfield, railroad, river, road, roof, sand, sea, shelf, snow, stairs,
tent, towel, wall-brick, wall-stone, wall-tile, wall-wood, water-other, window-blind, window-other, tree-merged,
fence-merged, ceiling-merged, sky-other-merged, cabinet-merged, table-merged, floor-other-merged, pavement-merged,
mountain-merged, grass-merged, dirt-merged, paper-merged, food-other-merged, building-other-merged, rock-merged,
wall-other-merged, rug-merged"""
NAMES: Mapping[int, str] = MappingProxyType(dict(enumerate(f"{_THINGS}, {_STUFF}".replace("\n", " ").split(", "))))

# A class, or several that may be meant -> other words for it.
_ALSO = {
    "person": "man woman girl boy child kid baby lady guy gentleman people human men women children dancer skater "
    "skier surfer snowboarder rider cyclist biker runner player athlete boxer soldier king queen knight pedestrian",
    "car": "jeep suv taxi cab sedan limousine convertible porsche lamborghini ferrari audi bmw",
    "truck": "lorry pickup",
    "car truck": "van minivan",
    "bus": "minibus",
    "bicycle motorcycle": "bike",
    "bicycle": "cycle",
    "motorcycle": "motorbike scooter moped",
    "airplane": "plane aeroplane jet aircraft airliner",
    "boat": "ship sailboat yacht canoe kayak",
    "train": "locomotive tram",
    "bird": "swan duck goose geese eagle hawk parrot pigeon owl flamingo penguin crow raven gull seagull sparrow hen "
    "chicken rooster ostrich",
    "cat": "kitten kitty",
    "dog": "puppy bulldog poodle corgi husky retriever dachshund terrier beagle",
    "horse": "pony foal stallion",
    "cow": "bull calf ox cattle buffalo",
    "sheep": "lamb goat",
    "teddy bear": "teddy",
    "couch": "sofa",
    "tv": "television",
    "cell phone": "phone smartphone",
}
ELSEWHERE = (
    "look for it as one of these (masks.seen_as=dog), take whatever stands in front (masks.backend=birefnet), say "
    "where it is (masks.box or masks.point with masks.backend=sam2), or give masks="
)


def _synonyms() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for classes, words in _ALSO.items():
        meant = (classes,) if classes in NAMES.values() else tuple(classes.split())
        found |= dict.fromkeys(words.split(), meant)
    return found


SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(_synonyms())


def classes_of(subject: str, names: Mapping[int, str] = NAMES, elsewhere: str = "") -> set[int]:
    """The classes that a subject's words mean: those of just that name, else those with its last word in their name.

    Only whole words count ("car" is no "carrot"), and an s at the end does not. Last come words that mean a class
    without being in its name: a jeep is a car.

    Args:
        names: number -> name of the segmenter's classes.
        elsewhere: what else a user can do, for the error.

    Raises:
        UserError: none.

    >>> names = {0: "car", 1: "carrot", 2: "teddy bear", 3: "bear", 4: "dining table-merged"}
    >>> classes_of("red sports cars", names), classes_of("bear", names), classes_of("table", names)
    ({0}, {3}, {4})
    >>> classes_of("a silver jeep", names)
    {0}
    """
    words = _words(subject)
    for asked in (words, words[-1:]):
        if found := {number for number, name in names.items() if asked and _words(class_name(name)) == asked}:
            return found
    if found := {number for number, name in names.items() if words and words[-1] in _words(class_name(name))}:
        return found
    meant = SYNONYMS.get(words[-1], ()) if words else ()
    if found := {number for number, name in names.items() if class_name(name) in meant}:
        return found
    known = sorted({class_name(name) for name in names.values()})
    shown = ", ".join(known[:80]) + (f" and {len(known) - 80} more" if len(known) > 80 else "")
    raise UserError(f"Mask2Former has no class for {subject!r}: name one of its own ({shown}){elsewhere}")


def known(subject: str, names: Mapping[int, str] = NAMES) -> Collection[int]:
    """The same; empty where there is no class."""
    try:
        return classes_of(subject, names)
    except UserError:
        return ()


def class_name(name: str) -> str:
    """A class's name without what COCO's panoptic set adds to it."""
    return re.sub(r"-(merged|other|stuff)\b", "", name)


def _words(text: str) -> list[str]:
    return [
        w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w
        for w in re.findall(r"[a-z]+", text.lower())
    ]
