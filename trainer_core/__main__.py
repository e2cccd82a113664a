"""`python -m trainer_core`."""

from trainer_core.contracts.start import start


def main() -> int:
    from trainer_core.cli import main as command

    return command()


# Of a larger package that is not there each command tells by itself, a job in its own folder.
start(main, needs=("psutil",))
