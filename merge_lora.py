"""The classic way to merge: python merge_lora.py --base_model_path BASE --lora_path LORA --output_path OUT"""

import sys

from trainer_core.cli.merge import classic

if __name__ == "__main__":
    sys.exit(classic())
