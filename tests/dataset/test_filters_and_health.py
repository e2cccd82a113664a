from pathlib import Path

import numpy as np
import pytest
from dataset_desk import Desk
from picture_files import put
from PIL import Image

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.filters import Filter, checked_show, page_of, select
from trainer_core.dataset.health import health_of


def noise(path: Path, seed: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return image


@pytest.fixture
def mixed(desk: Desk) -> Desk:
    put(desk.folder / "10_a/good.png", "1girl, Red Hat", size=(64, 64))
    put(desk.folder / "10_a/bare.png", size=(64, 64))
    put(desk.folder / "2_b/small.png", "1boy", size=(40, 40))
    put(desk.folder / "2_b/wide.png", "1boy, a wide view of 猫", size=(900, 100))
    put(desk.folder / "2_b/coded.png").with_suffix(".txt").write_bytes(b"caf\xe9")
    (desk.folder / "2_b/text.png").write_text("no picture")
    desk.index()
    return desk


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Filter(), ["coded", "small", "text", "wide", "bare", "good"]),
        (Filter(show="no_caption"), ["text", "bare"]),
        (Filter(show="small"), ["coded", "small"]),
        (Filter(show="cropped"), ["wide"]),
        (Filter(show="problems"), ["coded", "text"]),
        (Filter(folder="10_a"), ["bare", "good"]),
        (Filter(folder=""), []),
        (Filter(tag="red"), ["good"]),
        (Filter(tag="1"), ["small", "wide", "good"]),
        (Filter(search="猫"), ["wide"]),
        (Filter(search="SMALL"), ["small"]),
        (Filter(search="b", tag="1boy", folder="2_b"), ["small", "wide"]),
    ],
)
def test_filters(mixed: Desk, wanted: Filter, names: list[str]):
    assert [picture.path.stem for picture in select(mixed.view(), wanted)] == names


def test_mistakes_in_xml_are_found_and_counted(desk: Desk):
    put(desk.folder / "a.png", "<general_tags><style>flat</general_tags>", size=(64, 64))
    put(desk.folder / "b.png", "<general_tags><style>flat</style></general_tags>", size=(64, 64))
    desk.index()
    [found] = select(desk.view(), Filter(show="xml"))
    assert found.name == "a.png" and found.mistake.startswith("</general_tags> stands before")
    assert health_of(desk.view()).mistakes == 1


def test_duplicates_and_look_alikes_are_grouped(desk: Desk):
    image = noise(desk.folder / "a.png", 1)
    (desk.folder / "z/copy.png").parent.mkdir()
    (desk.folder / "z/copy.png").write_bytes((desk.folder / "a.png").read_bytes())
    image.resize((50, 50)).save(desk.folder / "b.jpg", quality=60)
    image.crop((0, 0, 64, 32)).save(desk.folder / "c.png")
    for name, seed in (("d.png", 2), ("e.png", 3)):
        noise(desk.folder / name, seed)
    for number in range(3):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(desk.folder / f"plain{number}.png")
    snapshot = desk.index()
    assert snapshot.groups == (("a.png", "b.jpg", "z/copy.png"),)
    assert [p.relative for p in select(desk.view(), Filter(show="duplicates"))] == ["a.png", "b.jpg", "z/copy.png"]


def test_an_unknown_filter_is_refused():
    with pytest.raises(UserError) as caught:
        checked_show("<script>")
    assert caught.value.code == "filter_unknown"


def test_pages_hold_sixty_and_wrong_numbers_become_the_nearest(mixed: Desk):
    pictures = select(mixed.view(), Filter()) * 11
    assert [page_of(pictures, number)[:2] for number in (-1, 1, 2, 99)] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    assert [len(page_of(pictures, number)[2]) for number in (1, 2)] == [60, 6]
    assert page_of((), 5) == (1, 1, ())


def test_health_counts_what_will_be_trained(mixed: Desk):
    health = health_of(mixed.view())
    assert (health.images, health.usable, health.shown, health.pending) == (6, 4, 24, 0)
    assert (health.missing, health.small, health.cropped, health.duplicates) == (1, 1, 1, 2)
    assert [(b.width, b.height, b.images, b.shown) for b in health.buckets] == [
        (32, 32, 1, 2),
        (64, 64, 2, 20),
        (128, 32, 1, 2),
    ]
    assert sum(health.sizes) == 4 and health.sizes[0] == 4
    assert health.smallest == pytest.approx(0.0016) and health.largest == pytest.approx(0.09)


def test_health_of_nothing(desk: Desk):
    health = health_of(desk.view())
    assert (health.images, health.shown, health.buckets, health.largest) == (0, 0, (), 0)


def test_tags_are_counted_once_a_caption(desk: Desk):
    put(desk.folder / "a.png", "hat, hat, cat")
    put(desk.folder / "b.png", "hat")
    assert desk.look().tag_counts == (("hat", 2), ("cat", 1))
