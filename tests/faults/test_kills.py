"""33, 35, 36: killed anywhere, a run loses nothing and ends with the very bits of one that was left alone."""

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kills import PHASES, Campaign, Victim
from runs import assert_same_run

from trainer_core.contracts.config import TrainConfig

Make = Callable[..., TrainConfig]
Record = Callable[[str, str], None]

SEED = int(os.environ.get("NEWBIE_KILL_SEED", "20261125"))
KILLS = int(os.environ.get("NEWBIE_KILLS", "200"))


def kill_often(make: Make, left_alone: TrainConfig, folder: Path, count: int) -> Counter[str]:
    """Returns how often each phase was hit; every run was continued to its end and compared."""
    rng = random.Random(SEED)
    campaign, number = Campaign(rng), 0
    while campaign.hits.total() < count:
        victim = Victim(make(f"killed-{number}", cache_dir=str(folder / f"cache-{number}")), rng)
        while campaign.hits.total() < count and not victim.finished():
            hit = victim.kill_during(campaign.next_phase(victim))
            campaign.hits.update([hit] if hit else [])
        if not victim.finished():
            victim.go_on()
        assert_same_run(victim.config, left_alone)
        assert victim.leftovers() == []
        number += 1
    return campaign.hits


def test_33_36_five_kills(config: Make, left_alone: TrainConfig, tmp_path: Path, record_figure: Record) -> None:
    hits = kill_often(config, left_alone, tmp_path, 5)
    print(f"seed {SEED}: {dict(hits)}")
    record_figure("faults: kills survived / tried", f"{hits.total()} / {hits.total()}")


@pytest.mark.slow
def test_33_36_many_kills(config: Make, left_alone: TrainConfig, tmp_path: Path, record_figure: Record) -> None:
    """``NEWBIE_KILLS`` says how many, ``NEWBIE_KILL_SEED`` which ones."""
    hits = kill_often(config, left_alone, tmp_path, KILLS)
    record_figure("faults: kills survived / tried, long form", f"{hits.total()} / {hits.total()}")
    for phase in PHASES:
        record_figure(f"faults: kills, {phase}", f"{hits[phase]} / {hits[phase]}")
        assert hits[phase] >= KILLS // 20, hits
