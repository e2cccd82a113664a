"""The settings of the demo's training: the preset for the toy base, and the two prompts that show it learn."""

from typing import Any

from trainer_core.contracts.repository import REPOSITORY
from trainer_core.planning.presets import FOLDER, load_preset

TINY_BASE = REPOSITORY / "assets" / "newbie-tiny"
"""The built-in base."""
NAME = "nekorin"
"""The character's trigger word, and the run's name."""
PRESET = "cpu-demo"
# Surroundings that the sixteen pictures do not have; `tools.tiny.character` makes them.
PROMPTS = (
    "nekorin, 1girl, chibi, short hair, red eyes, closed mouth, grey background",
    "nekorin, 1girl, chibi, short hair, blue eyes, open mouth, yellow background",
)


def demo_values() -> dict[str, Any]:
    """Config values by option name; base, data and output folder are the caller's. Raises ConfigError."""
    return {
        **load_preset(FOLDER / f"{PRESET}.toml").values,
        "output_name": NAME,
        "sample_prompts": list(PROMPTS),
        "sample_every_n_epochs": 25,
    }
