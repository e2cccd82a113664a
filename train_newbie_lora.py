#!/usr/bin/env python3
"""The classic command: python train_newbie_lora.py --config_file my_config.toml"""

import argparse

from trainer_core.contracts.start import start


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Train a NewBie LoRA. Paths that are not absolute mean the current folder."
    )
    parser.add_argument("--config_file", "--config", required=True, metavar="FILE", help="TOML config, or a run folder")
    parser.add_argument("--check", action="store_true", help="check config, base and images; train nothing")
    arguments = parser.parse_args()
    from trainer_core.cli import main as trainer_core

    return trainer_core(["train", arguments.config_file, *(["--check"] if arguments.check else [])])


if __name__ == "__main__":
    start(main)
