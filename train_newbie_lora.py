"""The classic command line: python train_newbie_lora.py --config_file my_config.toml"""

import argparse
import sys

from trainer_core.cli import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config_file", required=True)
    sys.exit(main(["train", parser.parse_args().config_file]))
