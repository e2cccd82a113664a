"""`python -m trainer_core`."""

from trainer_core.contracts.start import start


def main() -> int:
    from trainer_core.cli import main as command

    return command()


start(main)
