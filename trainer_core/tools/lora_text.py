"""How prompts are to be read with some LoRAs: as their training read captions."""

from collections.abc import Sequence
from pathlib import Path

from trainer_core.contracts.config import load_config
from trainer_core.contracts.errors import ConfigError
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.model.lora_modules import LoraFile
from trainer_core.tools.lora_stack import Adapter, Tell


def text_settings(adapters: Sequence[Adapter], tell: Tell) -> TextSettings:
    """Those of the first LoRA that states them, or that lies in its run; the defaults where none does.

    `tell` hears of each other LoRA that was trained with other ones.
    """
    stated = [(adapter.lora.path, found) for adapter in adapters if (found := _stated(adapter.lora)) is not None]
    if not stated:
        return TextSettings.default()
    first, taken = stated[0]
    for path, found in stated[1:]:
        if found != taken:
            tell(
                f"{path} was trained with another system prompt or token limit than {first}, whose are taken for both."
            )
    return taken


def _stated(lora: LoraFile) -> TextSettings | None:
    return TextSettings.in_metadata(lora.metadata) or _of_run(lora.path)


def _of_run(file: Path) -> TextSettings | None:
    """Of an export that is still in its run's folder: earlier versions did not write them into the file."""
    for folder in list(file.absolute().parents)[:2]:
        run = RunDir(folder.parent)
        if folder == run.exports and run.config_file.is_file():
            try:
                return TextSettings.of(load_config(run.config_file))
            except ConfigError:
                return None
    return None
