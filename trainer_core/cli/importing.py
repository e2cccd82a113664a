"""`import`: another NewBie trainer's config as one of ours, with what became of every key."""

import argparse
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands, write_new_config
from trainer_core.contracts.config import flattened, options, parse_config, to_toml
from trainer_core.contracts.errors import ConfigError, UserError
from trainer_core.contracts.foreign import Translation, translate
from trainer_core.contracts.toml_text import read_toml
from trainer_core.contracts.user_path import user_path
from trainer_core.contracts.validation import nearest


def add(commands: Commands) -> None:
    text = (
        "Translate a config of the upstream trainer (lora.toml, lokr.toml) or of its fork, and say what becomes of "
        "every key. Nothing is written where a key would change what is learnt and cannot be honoured."
    )
    command = commands.add_parser("import", help="take another trainer's config", description=f"{text} {PATHS}")
    command.add_argument("file", type=user_path, help="the other trainer's TOML config; it is only read")
    command.add_argument(
        "--output", type=user_path, default=Path("my_config.toml"), help="new file (default: %(default)s)"
    )
    command.add_argument(
        "--without", action="append", default=[], metavar="KEY", help="go on without this key; may be repeated"
    )
    command.set_defaults(run=_import)


def _import(arguments: argparse.Namespace) -> None:
    flat, twice = flattened(read_toml(arguments.file))
    if twice:
        raise ConfigError(twice, str(arguments.file))
    names = [spec.name for spec in options()]
    translation = translate(flat, known=names, without=arguments.without, nearest=lambda key: nearest(key, names))
    for report in translation.reports:
        print(report)
    if translation.blocking:
        raise _blocked(translation)
    write_new_config(arguments.output, to_toml(parse_config(translation.values, source=str(arguments.file))))


def _blocked(translation: Translation) -> UserError:
    keys = translation.blocking
    agreed = " ".join(f"--without {key}" for key in keys)
    return UserError(
        "import_blocked",
        f"Nothing was written: the result would differ without {', '.join(keys)} (see above).",
        [f"To go on without: add {agreed}", "Or change these keys in the file."],
    )
