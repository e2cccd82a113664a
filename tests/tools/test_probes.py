"""The probes on drawings they were not tuned on: at least 99 % hits, at most 5 % false alarms."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from trainer_core.tools.tiny.exam import character, is_character
from trainer_core.tools.tiny.probes import READERS, cat_ears
from trainer_core.tools.tiny.world import all_portraits, draw, is_held_out, scribble

HELD_OUT = [portrait for portrait in all_portraits() if is_held_out(portrait)]


@pytest.mark.parametrize("name", READERS)
def test_hits_and_false_alarms_of_each_attribute(name: str, record_figure: Callable[[str, str], None]) -> None:
    asked, read, right = Counter(), Counter(), Counter()
    for number, portrait in enumerate(HELD_OUT[::5]):
        truth, found = getattr(portrait, name), READERS[name](draw(portrait, 50_000 + number))
        asked[truth], read[found], right[truth] = asked[truth] + 1, read[found] + 1, right[truth] + (truth == found)
    hits = min(right[value] / count for value, count in asked.items())
    false_alarms = max((read[value] - right[value]) / (asked.total() - count) for value, count in asked.items())
    record_figure(f"probe {name} (lowest hits, highest false alarms)", f"{hits:.1%}, {false_alarms:.1%}")
    assert hits >= 0.99 and false_alarms <= 0.05


def test_the_character_is_seen_where_she_is_and_nowhere_else() -> None:
    some = HELD_OUT[::12]
    hits = [is_character(draw(character(portrait), number)) for number, portrait in enumerate(some)]
    alarms = [is_character(draw(portrait, number)) for number, portrait in enumerate(some)]
    assert sum(hits) >= 0.99 * len(some) and sum(alarms) <= 0.05 * len(some)


def test_ears_need_both_sides() -> None:
    assert not any(cat_ears(scribble(seed)) for seed in range(3))
    assert cat_ears(draw(replace(HELD_OUT[0], cat_ears=True, accessory="none", style="short hair"), 1))
