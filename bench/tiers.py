"""What each preset needs on a card, by bytes counted, nothing measured: python -m bench.tiers; prints one JSON line."""

import argparse
import json
import sys
from typing import Any

from trainer_core.contracts.config import parse_config
from trainer_core.planning.estimate import estimate
from trainer_core.planning.phases import GIB
from trainer_core.planning.presets import load_presets


def measure() -> dict[str, Any]:
    """Of every preset for a card, with the released model: GiB of each phase's peak, and with the card's own share."""
    tiers = {}
    for preset in load_presets():
        if preset.device != "cuda":
            continue
        # Parts of a base that are not there count as released.
        config = parse_config({**preset.values, "base_model_path": "-", "train_data_dir": "-"})
        counted = estimate(config, None, pace=lambda _: None)
        phases = {phase.name: phase.bytes / GIB for phase in counted.phases}
        tiers[preset.name] = {
            "estimated_gib": phases,
            "estimated_with_reserve_gib": (counted.peak.bytes + counted.reserve) / GIB,
        }
    return tiers


def main(arguments: list[str] | None = None) -> int:
    argparse.ArgumentParser(prog="python -m bench.tiers", description=__doc__).parse_args(arguments)
    print(json.dumps(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
