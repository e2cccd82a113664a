"""Classic command line: python convert_newbie_to_diffusers.py --checkpoint consolidated.00-of-01.pth --output DIR"""

from trainer_core.contracts.start import start


def main() -> int:
    from trainer_core.cli.convert import classic

    return classic()


if __name__ == "__main__":
    start(main)
