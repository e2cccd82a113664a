"""The drawn world is reproducible, and what is held out stays out."""

from trainer_core.dataset.captions import is_xml, tags_of
from trainer_core.tools.tiny.transformer_stage import drawn_portraits
from trainer_core.tools.tiny.vae_stage import drawable
from trainer_core.tools.tiny.world import ASKED_EYES, BACKGROUNDS, HAIR, all_portraits, draw, is_held_out, tag_caption
from trainer_core.tools.tiny.world import xml_caption as xml


def test_the_world_is_large_enough() -> None:
    assert len(HAIR) >= 6 and len(ASKED_EYES) >= 4 and len(BACKGROUNDS) >= 6
    held_out = sum(map(is_held_out, all_portraits()))
    assert 0.08 < held_out / len(all_portraits()) < 0.17


def test_training_never_draws_a_held_out_combination_nor_the_character() -> None:
    assert not any(is_held_out(p) or p.cat_ears or p.second_hair for p in [*drawable(), *drawn_portraits()])


def test_a_drawing_is_a_function_of_portrait_and_seed() -> None:
    portrait = all_portraits()[123]
    assert draw(portrait, 1).tobytes() == draw(portrait, 1).tobytes() != draw(portrait, 2).tobytes()


def test_both_captions_say_the_same() -> None:
    portrait = all_portraits()[4567]
    assert is_xml(xml(portrait)) and not is_xml(tag_caption(portrait))
    assert set(tags_of(tag_caption(portrait))) - {"none"} == set(tags_of(xml(portrait)))
