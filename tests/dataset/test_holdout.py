"""Which images are held out."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.holdout import divide, share_note, split
from trainer_core.dataset.scan import ImageItem


def items(*names: str) -> list[ImageItem]:
    return [
        ImageItem(path=Path(name), relative=PurePosixPath(name), caption="", repeats=1, width=64, height=64)
        for name in names
    ]


def names(group: list[ImageItem]) -> set[str]:
    return {str(item.relative) for item in group}


def found(root: Path, **contents: bytes) -> list[ImageItem]:
    for name, content in contents.items():
        (root / f"{name}.png").write_bytes(content)
    return [replace(item, path=root / item.relative) for item in items(*(f"{name}.png" for name in contents))]


def config(root: Path, **settings: object) -> TrainConfig:
    return TrainConfig(base_model_path="b", train_data_dir=str(root), **settings)  # type: ignore[arg-type]


def test_no_copy_of_what_is_held_out_is_trained_on(tmp_path: Path) -> None:
    mine = found(tmp_path, a=b"one", b=b"two", c=b"three", d=b"one")
    for seed in range(8):
        division = divide(mine, config(tmp_path, validation_split=0.25, seed=seed))
        trained, held_out = ({item.path.read_bytes() for item in group} for group in
                             (division.trained, division.held_out))  # fmt: skip
        assert not trained & held_out and division.copies == (held_out == {b"one"})
    (tmp_path / "held").mkdir()
    found(tmp_path / "held", x=b"one", y=b"ten")
    division = divide(mine, config(tmp_path, validation_data_dir=str(tmp_path / "held")))
    assert (names(list(division.trained)), division.held_out, division.copies) == ({"b.png", "c.png"}, [], 2)
    # A folder that is not there holds nothing out; training refuses it by its name.
    assert divide(mine, config(tmp_path, validation_data_dir=str(tmp_path / "none"))).trained == mine


def test_a_data_set_that_is_held_out_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none is left to train on"):
        divide(found(tmp_path, a=b"one"), config(tmp_path, validation_data_dir=str(tmp_path)))


MANY = [f"{number:03d}.png" for number in range(400)]


def test_the_share_is_held_out_in_order_and_nothing_is_lost() -> None:
    trained, held_out = split(items(*MANY), 0.25, seed=1)
    assert names(trained) | names(held_out) == set(MANY) and not names(trained) & names(held_out)
    assert len(held_out) == 100 and [str(i.relative) for i in held_out] == sorted(names(held_out))


def test_a_few_new_images_move_hardly_any_old_one_and_another_seed_chooses_others() -> None:
    before, after = split(items(*MANY[:380]), 0.25, seed=1)[1], split(items(*MANY), 0.25, seed=1)[1]
    moved = names(before) ^ (names(after) & set(MANY[:380]))
    assert len(before) == 95 and len(after) == 100 and len(moved) <= 5
    assert names(split(items(*MANY), 0.25, seed=2)[1]) != names(after)


@pytest.mark.parametrize(("count", "share", "held_out"), [(20, 0.1, 2), (12, 0.2, 2), (20, 0.05, 1), (100, 0.05, 5)])
def test_small_sets_get_their_share_by_every_seed(count: int, share: float, held_out: int) -> None:
    assert {len(split(items(*MANY[:count]), share, seed)[1]) for seed in range(20)} == {held_out}


@pytest.mark.parametrize(("count", "share", "held_out"), [(400, 0.0, 0), (1, 0.5, 0), (2, 0.01, 1), (2, 0.5, 1)])
def test_both_sides_get_an_image_where_there_are_two(count: int, share: float, held_out: int) -> None:
    trained, found = split(items(*MANY[:count]), share, seed=3)
    assert len(found) == held_out and len(trained) == count - held_out


def test_a_share_that_a_few_images_cannot_give_is_spoken_of() -> None:
    assert "0.05 holds out 50% of these 2 images" in share_note(1, 2, 0.05)
    assert "0.3 holds nothing out of a single image" in share_note(0, 1, 0.3)
    assert not share_note(1, 10, 0.05) and not share_note(5, 100, 0.05) and not share_note(0, 1, 0.0)
