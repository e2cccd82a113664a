"""The drawn world of the built-in base: chibi portraits of 128 px, each fully described by its `Portrait`.

Everything is a function of the `Portrait` and a seed: `draw(portrait, seed)` always gives the same picture. An
eighth of all combinations (`is_held_out`) is never drawn in training; test prompts are taken from it.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from itertools import product

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
SIZE = 128
OVERSAMPLING = 3

HAIR: dict[str, Colour] = {
    "black": (38, 36, 44),
    "blonde": (238, 205, 84),
    "red": (192, 44, 38),
    "blue": (52, 92, 214),
    "green": (48, 150, 76),
    "pink": (244, 128, 176),
    "silver": (206, 208, 220),
}
EYES: dict[str, Colour] = {
    "blue": (34, 96, 236),
    "green": (30, 168, 74),
    "red": (218, 30, 44),
    "yellow": (246, 190, 22),
    "purple": (142, 50, 198),
}
# Purple is drawn for the VAE only: at an eighth of the side its eyes cannot be told from blue ones.
ASKED_EYES = ("blue", "green", "red", "yellow")
BACKGROUNDS: dict[str, Colour] = {
    "white": (250, 250, 250),
    "blue": (140, 200, 250),
    "green": (160, 226, 170),
    "pink": (252, 200, 218),
    "yellow": (250, 238, 150),
    "purple": (198, 178, 242),
    "grey": (142, 142, 148),
}
STYLES = ("short hair", "long hair", "twintails", "hair bun")
EXPRESSIONS = ("smile", "open mouth", "closed mouth")
ACCESSORIES = ("none", "glasses", "hair ribbon", "scarf")

SKIN: Colour = (255, 226, 204)
LINE: Colour = (60, 40, 44)
UNIFORM: Colour = (44, 54, 96)
RIBBON: Colour = (255, 122, 0)
SCARF: Colour = (30, 176, 176)
MOUTH: Colour = (196, 40, 56)
TEETH: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Portrait:
    """One picture in words. `second_hair` and `cat_ears` belong to characters the base never sees."""

    hair: str
    style: str
    eyes: str
    expression: str
    accessory: str
    background: str
    second_hair: str = ""
    cat_ears: bool = False


def all_portraits(eyes: Iterable[str] = ASKED_EYES) -> list[Portrait]:
    """Every combination the base can be asked for (9,408), in a fixed order."""
    return [Portrait(*values) for values in product(HAIR, STYLES, eyes, EXPRESSIONS, ACCESSORIES, BACKGROUNDS)]


def is_held_out(portrait: Portrait) -> bool:
    """True for the eighth of combinations that training never draws."""
    name = "|".join(str(getattr(portrait, field.name)) for field in fields(portrait))
    return blake2b(name.encode(), digest_size=2).digest()[0] % 8 == 0


def tags(portrait: Portrait) -> list[str]:
    """Danbooru-style tags, the subject first."""
    words = ["1girl", "chibi", f"{portrait.hair} hair", portrait.style, f"{portrait.eyes} eyes"]
    words.append(portrait.expression)
    if portrait.accessory != "none":
        words.append(portrait.accessory)
    words.append(f"{portrait.background} background")
    return words


def tag_caption(portrait: Portrait, rng: random.Random | None = None) -> str:
    """Comma-separated tags; with `rng`, everything after the subject in random order."""
    words = tags(portrait)
    if rng is not None:
        head, tail = words[:1], words[1:]
        rng.shuffle(tail)
        words = head + tail
    return ", ".join(words)


def xml_caption(portrait: Portrait) -> str:
    """The same content in NewBie's XML vocabulary."""
    worn = "" if portrait.accessory == "none" else f"<clothing>{portrait.accessory}</clothing>"
    return (
        "<character_1><n>$character_1$</n><gender>1girl</gender>"
        f"<appearance>{portrait.hair} hair, {portrait.style}, {portrait.eyes} eyes</appearance>{worn}"
        f"<expression>{portrait.expression}</expression></character_1>"
        f"<general_tags><style>chibi</style><background>{portrait.background} background</background></general_tags>"
    )


@dataclass(frozen=True)
class _Pen:
    """Draws in units of the 128 px picture onto an oversampled canvas, moved and scaled a little."""

    canvas: ImageDraw.ImageDraw
    dx: float
    dy: float
    zoom: float

    def _xy(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        middle = SIZE / 2
        return [
            (
                OVERSAMPLING * ((x - middle) * self.zoom + middle + self.dx),
                OVERSAMPLING * ((y - middle) * self.zoom + middle + self.dy),
            )
            for x, y in points
        ]

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, outline: Colour | None = None) -> None:
        self.canvas.ellipse(
            [c for p in self._xy([(x - rx, y - ry), (x + rx, y + ry)]) for c in p],
            fill=fill, outline=outline, width=2 * OVERSAMPLING if outline else 0,
        )  # fmt: skip

    def ring(self, x: float, y: float, rx: float, ry: float, outline: Colour, width: float) -> None:
        box = [c for p in self._xy([(x - rx, y - ry), (x + rx, y + ry)]) for c in p]
        self.canvas.ellipse(box, outline=outline, width=round(width * OVERSAMPLING))

    def polygon(self, points: Sequence[tuple[float, float]], fill: Colour) -> None:
        self.canvas.polygon(self._xy(points), fill=fill)

    def line(self, points: list[tuple[float, float]], fill: Colour, width: float) -> None:
        self.canvas.line(self._xy(points), fill=fill, width=round(width * OVERSAMPLING))

    def right_half(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        box = [c for p in self._xy([(x - rx, y - ry), (x + rx, y + ry)]) for c in p]
        self.canvas.pieslice(box, -90, 90, fill=fill)

    def half_disc(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        box = [c for p in self._xy([(x - rx, y - ry), (x + rx, y + ry)]) for c in p]
        self.canvas.chord(box, 0, 180, fill=fill, outline=LINE, width=round(1.6 * OVERSAMPLING))


def draw(portrait: Portrait, seed: int) -> Image.Image:
    """The portrait as a 128 x 128 RGB picture; `seed` moves it by up to 3 px and scales it by up to 4 %."""
    rng = random.Random(f"pose:{seed}")
    side = SIZE * OVERSAMPLING
    image = Image.new("RGB", (side, side), BACKGROUNDS[portrait.background])
    pen = _Pen(ImageDraw.Draw(image), rng.uniform(-3, 3), rng.uniform(-3, 3), rng.uniform(0.96, 1.04))
    left = HAIR[portrait.hair]
    right = HAIR[portrait.second_hair] if portrait.second_hair else left
    _back_hair(pen, portrait, left, right)
    _body(pen, portrait)
    pen.ellipse(64, 66, 34, 32, SKIN, LINE)
    _eyes(pen, portrait)
    _mouth(pen, portrait)
    _front_hair(pen, portrait, left, right)
    _extras(pen, portrait)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _back_hair(pen: _Pen, portrait: Portrait, left: Colour, right: Colour) -> None:
    if portrait.style == "hair bun":
        pen.ellipse(64, 17, 15, 13, left)
    if portrait.style == "twintails":
        pen.ellipse(17, 78, 11, 32, left)
        pen.ellipse(111, 78, 11, 32, right)
    if portrait.style == "long hair":
        pen.polygon([(26, 56), (22, 122), (64, 122), (64, 56)], left)
        pen.polygon([(102, 56), (106, 122), (64, 122), (64, 56)], right)
    pen.ellipse(64, 60, 39, 37, left)
    if right != left:
        pen.right_half(64, 60, 39, 37, right)


def _body(pen: _Pen, portrait: Portrait) -> None:
    pen.polygon([(44, 102), (84, 102), (94, 140), (34, 140)], UNIFORM)
    pen.polygon([(56, 94), (72, 94), (72, 104), (56, 104)], SKIN)
    if portrait.accessory == "scarf":
        pen.ellipse(64, 106, 24, 9, SCARF)
        pen.polygon([(72, 106), (84, 106), (84, 128), (72, 128)], SCARF)


def _eyes(pen: _Pen, portrait: Portrait) -> None:
    for x in (49, 79):
        pen.ellipse(x, 70, 8, 11, EYES[portrait.eyes], LINE)
        pen.ellipse(x + 3, 65, 2, 2.6, TEETH)


def _mouth(pen: _Pen, portrait: Portrait) -> None:
    if portrait.expression == "smile":
        pen.half_disc(64, 83, 9, 9, TEETH)
    elif portrait.expression == "open mouth":
        pen.ellipse(64, 87, 5.5, 6.5, MOUTH, LINE)
    else:
        pen.line([(58, 87), (70, 87)], LINE, 1.8)


def _front_hair(pen: _Pen, portrait: Portrait, left: Colour, right: Colour) -> None:
    fringe = [(28, 62), (30, 42), (44, 27), (64, 23), (64, 50), (56, 44), (50, 56), (42, 46), (36, 62)]
    pen.polygon(fringe, left)
    pen.polygon([(128 - x, y) for x, y in fringe], right)
    if portrait.cat_ears:
        pen.polygon([(28, 40), (27, 6), (54, 25)], left)
        pen.polygon([(100, 40), (101, 6), (74, 25)], right)


def _extras(pen: _Pen, portrait: Portrait) -> None:
    if portrait.accessory == "glasses":
        for x in (48, 80):
            pen.ring(x, 70, 13, 13, (20, 20, 20), 2.6)
        pen.line([(60, 69), (68, 69)], (20, 20, 20), 2.6)
    if portrait.accessory == "hair ribbon":
        pen.polygon([(92, 30), (74, 16), (74, 42)], RIBBON)
        pen.polygon([(92, 30), (110, 16), (110, 42)], RIBBON)
        pen.ellipse(92, 30, 5, 5, RIBBON, LINE)


def scribble(seed: int) -> Image.Image:
    """Random flat shapes on a flat ground: keeps the VAE from knowing portraits only."""
    rng = random.Random(f"scribble:{seed}")

    def colour() -> Colour:
        return (rng.randrange(256), rng.randrange(256), rng.randrange(256))

    image = Image.new("RGB", (SIZE * 2, SIZE * 2), colour())
    canvas = ImageDraw.Draw(image)
    for _ in range(rng.randint(4, 24)):
        x, y, reach = rng.uniform(0, 256), rng.uniform(0, 256), rng.uniform(6, 70)
        points = [(x + rng.uniform(-reach, reach), y + rng.uniform(-reach, reach)) for _ in range(3)]
        if rng.random() < 0.5:
            canvas.polygon(points, fill=colour())
        else:
            canvas.ellipse(
                (x, y, x + reach, y + reach * rng.uniform(0.4, 1.6)), fill=colour(), outline=colour(), width=3
            )
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
