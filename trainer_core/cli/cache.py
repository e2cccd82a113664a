"""`cache`: look after a feature cache."""

import argparse
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands
from trainer_core.contracts import feature_files
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.user_path import user_path


def add(commands: Commands) -> None:
    text = "Look after a feature cache: how large it is, --verify (rehash every entry), --clear."
    command = commands.add_parser("cache", help="check or clear the feature cache", description=f"{text} {PATHS}")
    command.add_argument(
        "folder", type=user_path, nargs="?", default=Path("output/.cache"), help="default: %(default)s"
    )
    action = command.add_mutually_exclusive_group()
    action.add_argument("--verify", action="store_true", help="rehash every entry; remove the damaged ones")
    action.add_argument("--clear", action="store_true", help="remove every entry and the index")
    command.set_defaults(run=_cache)


def _cache(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    if not folder.is_dir():
        raise UserError("cache_missing", f"{folder} is not a folder; caches lie in <output_dir>/.cache.")
    if not feature_files.is_cache(folder):
        raise UserError(
            "cache_foreign",
            f"{folder} is no feature cache: none of its files are features, and no index of ours is there. "
            "Nothing was touched.",
            ["Give the folder of cache_dir, or <output_dir>/.cache."],
        )
    if options.clear:
        entries, size = feature_files.clear(folder)
        print(f"removed {entries} entries, {size / 2**20:.1f} MiB")
        return 0
    files = list(feature_files.entries(folder))
    print(f"{len(files)} entries, {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB")
    return _verify(folder) if options.verify else 0


def _verify(folder: Path) -> int:
    from trainer_core.training.cache import FeatureCache

    damaged = FeatureCache(folder).verify()
    for file in damaged:
        print(f"damaged, removed (it will be made again): {file}")
    return 1 if damaged else 0
