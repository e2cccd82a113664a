"""The classic way to merge: python merge_lora.py --base_model_path BASE --lora_path LORA --output_path OUT"""

from trainer_core.contracts.start import start


def main() -> int:
    from trainer_core.cli.merge import classic

    return classic()


if __name__ == "__main__":
    start(main)
