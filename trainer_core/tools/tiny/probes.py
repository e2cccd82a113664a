"""Detectors that read a portrait's attributes off its pixels, by colour and place alone."""

import numpy as np
from PIL import Image

from trainer_core.tools.tiny.world import (
    ASKED_EYES,
    BACKGROUNDS,
    EYES,
    HAIR,
    LINE,
    MOUTH,
    RIBBON,
    SCARF,
    SKIN,
    TEETH,
    Colour,
)

Array = np.ndarray


def _array(image: Image.Image) -> Array:
    return np.asarray(image.convert("RGB"), dtype=np.float32)


def _distance(pixels: Array, colour: Colour) -> Array:
    return np.sqrt(((pixels - np.array(colour, dtype=np.float32)) ** 2).sum(-1))


def _box(pixels: Array, left: int, top: int, right: int, bottom: int) -> Array:
    return pixels[top:bottom, left:right].reshape(-1, 3)


def _nearest(pixels: Array, names: dict[str, Colour], within: float = 1e9) -> str:
    """Name of the colour that most pixels are nearest to (counting only pixels at most `within` away)."""
    distances = np.stack([_distance(pixels, colour) for colour in names.values()])
    votes = distances.argmin(0)[distances.min(0) <= within]
    if not len(votes):
        return ""
    return list(names)[int(np.bincount(votes, minlength=len(names)).argmax())]


def background(image: Image.Image) -> str:
    """From the two upper corners and the strip beside the chin of one side."""
    p = _array(image)
    corners = np.concatenate([_box(p, 2, 2, 12, 24), _box(p, 116, 2, 126, 14)])
    return _nearest(corners, BACKGROUNDS)


def hair(image: Image.Image) -> str:
    """From the crown, between fringe and bun."""
    return _nearest(_box(_array(image), 46, 28, 82, 42), HAIR, within=110)


def hair_halves(image: Image.Image) -> tuple[str, str]:
    p = _array(image)
    return _nearest(_box(p, 40, 30, 60, 42), HAIR, within=110), _nearest(_box(p, 68, 30, 88, 42), HAIR, within=110)


def eyes(image: Image.Image) -> str:
    p = _array(image)
    both = np.concatenate([_box(p, 45, 66, 54, 78), _box(p, 75, 66, 84, 78)])
    palette = {name: EYES[name] for name in ASKED_EYES} | {"skin": SKIN, "line": LINE, "white": TEETH}
    distances = np.stack([_distance(both, colour) for colour in palette.values()])
    votes = np.bincount(distances.argmin(0), minlength=len(palette))[: len(ASKED_EYES)]
    return ASKED_EYES[int(votes.argmax())]


def _share(pixels: Array, colour: Colour, within: float) -> float:
    return float((_distance(pixels, colour) <= within).mean())


def style(image: Image.Image) -> str:
    """Hair above the crown: bun. Hair at the far sides: twintails. Hair beside the neck: long."""
    p = _array(image)
    colour = HAIR[hair(image)] if hair(image) else HAIR["black"]
    ground = BACKGROUNDS[background(image)]

    def covered(*box: int) -> float:
        pixels = _box(p, *box)
        return float((_distance(pixels, colour) < _distance(pixels, ground)).mean())

    if covered(58, 10, 70, 18) > 0.5:
        return "hair bun"
    if (covered(12, 64, 20, 96) + covered(108, 64, 116, 96)) / 2 > 0.5:
        return "twintails"
    if (covered(27, 100, 33, 116) + covered(95, 100, 101, 116)) / 2 > 0.5:
        return "long hair"
    return "short hair"


def expression(image: Image.Image) -> str:
    """Red in the mouth: open. Something much less yellow than the skin above it, teeth: smile."""
    p = _array(image)
    if _share(_box(p, 55, 80, 74, 96), MOUTH, 75) > 0.10:
        return "open mouth"
    mouth, skin = _box(p, 58, 83, 71, 92), _box(p, 56, 76, 73, 80)
    contrast = np.percentile(skin[:, 0] - skin[:, 2], 65) - np.percentile(mouth[:, 0] - mouth[:, 2], 15)
    # Drawn smiles measure about 50, drawn lines at most 24; the upper skin percentile looks past glasses.
    return "smile" if contrast > 37 else "closed mouth"


def accessory(image: Image.Image) -> str:
    p = _array(image)
    if _share(_box(p, 50, 101, 78, 111), SCARF, 80) > 0.4:
        return "scarf"
    bow = np.concatenate([_box(p, 76, 24, 88, 36), _box(p, 98, 24, 108, 36)])
    if _share(bow, RIBBON, 75) > 0.35:
        return "hair ribbon"
    bridge = _box(p, 60, 66, 68, 73)
    return "glasses" if (bridge.max(-1) < 130).mean() > 0.15 else "none"


def cat_ears(image: Image.Image) -> bool:
    """Hair-coloured triangles above both sides of the crown, where no style of the world has hair."""
    p = _array(image)
    ground = BACKGROUNDS[background(image)]
    left, right = hair_halves(image)
    for name, box in ((left, (30, 14, 40, 26)), (right, (88, 14, 98, 26))):
        if not name:
            return False
        pixels = _box(p, *box)
        if (_distance(pixels, HAIR[name]) < _distance(pixels, ground)).mean() < 0.5:
            return False
    return True


READERS = {
    "hair": hair,
    "style": style,
    "eyes": eyes,
    "expression": expression,
    "accessory": accessory,
    "background": background,
}
