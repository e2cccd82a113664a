"""adapter_config.json of a PEFT folder: what it says about scales, and how to write it."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_core.planning.lora_names import diffusers_module, listing

SETTINGS_FILE = "adapter_config.json"
# In front of every name that PEFT writes.
PEFT_PREFIX = "base_model.model."
# Where diffusers keeps the same values inside the file, behind the name of the part of its pipeline.
DIFFUSERS_KEY = "lora_adapter_metadata"
DIFFUSERS_PART = "transformer."
_PATTERN_LENGTH = 200
# A repeated group is what makes a regular expression run for ever on a name that does not match.
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
# Options that change what the tensors mean; PEFT has them, NewBie's tools do not write them.
_OTHER_MEANINGS = (
    "use_qalora",
    "use_bdlora",
    "layer_replication",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "megatron_config",
)
# Their A and B are relative to a base that training changed first.
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "mica")


class SettingsError(ValueError):
    """adapter_config.json cannot be used; the text is one clause that says why."""


@dataclass(frozen=True, kw_only=True)
class PeftSettings:
    """Ranks and alphas of a PEFT adapter; patterns are tried in order, as PEFT does.

    source: what states them. diffusers: whether the patterns are for diffusers' names of the modules.
    """

    source: str
    diffusers: bool
    rank: int | None
    alpha: float
    ranks: tuple[tuple[re.Pattern[str], int], ...]
    alphas: tuple[tuple[re.Pattern[str], float], ...]
    use_rslora: bool
    use_dora: bool

    def rank_of(self, module: str, rows: str = "") -> int | None:
        """The stated rank, None where the file states none."""
        name = self._name(module, rows)
        return next((rank for pattern, rank in self.ranks if pattern.match(name)), self.rank)

    def alpha_of(self, module: str, rank: int, rows: str = "") -> float:
        """The alpha for which alpha / rank is the scale that PEFT would apply."""
        name = self._name(module, rows)
        alpha = next((alpha for pattern, alpha in self.alphas if pattern.match(name)), self.alpha)
        return alpha * math.sqrt(rank) if self.use_rslora else alpha

    def _name(self, module: str, rows: str) -> str:
        return (self.diffusers and diffusers_module(module, rows)) or module


def read_settings(file: Path) -> PeftSettings:
    """Raises SettingsError for what is broken, OSError for what cannot be read."""
    return _settings(_read_json(file), file.name)


def require_kind(file: Path, kind: str) -> None:
    """Raises SettingsError for a json that states another kind of adapter, or is broken; OSError."""
    _refuse_kinds_but(kind, _read_json(file))


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file.name} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file.name} is not a JSON object")
    return values


def settings_in(metadata: Mapping[str, str], *, own_names: bool) -> PeftSettings | None:
    """What diffusers wrote into a file's metadata; None where it states no alpha. Raises SettingsError.

    Its patterns are for the names of its own model; with them nothing is taken unless the file has those (`own_names`).
    """
    try:
        stated = json.loads(metadata.get(DIFFUSERS_KEY, ""))
    except (ValueError, RecursionError):
        return None
    if not isinstance(stated, dict):
        return None
    values = {name.removeprefix(DIFFUSERS_PART): value for name, value in stated.items()}
    patterns = values.get("rank_pattern") or values.get("alpha_pattern")
    if "lora_alpha" not in values or (patterns and not own_names):
        return None
    return _settings(values, DIFFUSERS_KEY, diffusers=own_names)


def _settings(values: Mapping[str, Any], source: str, *, diffusers: bool = False) -> PeftSettings:
    _refuse_other_adapters(values, source)
    rank = values.get("r")
    if rank is not None and not _is_rank(rank):
        raise SettingsError(f"{source} states r = {rank!r}; allowed: a whole number from 1")
    if not _is_alpha(values.get("lora_alpha")):
        raise SettingsError(f"{source} states lora_alpha = {values.get('lora_alpha')!r}; allowed: a number above 0")
    return PeftSettings(
        source=source,
        diffusers=diffusers,
        rank=rank,
        alpha=float(values["lora_alpha"]),
        ranks=_patterns(values, "rank_pattern", _is_rank),
        alphas=_patterns(values, "alpha_pattern", _is_alpha),
        use_rslora=bool(values.get("use_rslora")),
        use_dora=bool(values.get("use_dora")),
    )


def _refuse_other_adapters(values: Mapping[str, Any], source: str) -> None:
    _refuse_kinds_but("LORA", values)
    used = [name for name in _OTHER_MEANINGS if values.get(name)]
    if values.get("bias", "none") != "none":
        used.append("bias")
    start = values.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGED_BASE):
        used.append(f"init_lora_weights = {listing([start])} (relative to a changed base)")
    if used:
        raise SettingsError(f"its {source} uses {', '.join(used)}, which cannot be read here")


def _refuse_kinds_but(kind: str, values: Mapping[str, Any]) -> None:
    stated = values.get("peft_type", kind)
    if stated != kind:
        raise SettingsError(
            f"it is a PEFT adapter of type {listing([str(stated)])}; only LORA, and LoKr from LYCORIS, can be read"
        )


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_alpha(value: object) -> bool:
    # A ComfyUI file states alpha in fp32.
    return isinstance(value, int | float) and not isinstance(value, bool) and 1e-30 < value < 1e30


def _patterns(
    values: Mapping[str, Any], name: str, allowed: Callable[[object], bool]
) -> tuple[tuple[re.Pattern[str], Any], ...]:
    """Keys are regular expressions for the end of a module's name; each value is checked."""
    table = values.get(name) or {}
    if not isinstance(table, dict):
        raise SettingsError(f"its {name} is not a table")
    found = []
    for key, value in table.items():
        if not allowed(value):
            raise SettingsError(f"its {name} states {value!r} for {listing([key])}")
        if len(key) > _PATTERN_LENGTH or _REPEATED_GROUP.search(key):
            raise SettingsError(f"its {name} holds an expression that is too complex: {listing([key])}")
        try:
            found.append((re.compile(rf"(.*\.)?({key})$"), value))
        except (re.error, OverflowError, RecursionError) as error:
            raise SettingsError(f"its {name} holds a broken expression: {listing([key])} ({error})") from error
    return tuple(found)


def settings_json(
    ranks: Mapping[str, int],
    alphas: Mapping[str, float],
    *,
    dropout: float = 0.0,
    base: str | None = None,
    use_dora: bool = False,
) -> str:
    """adapter_config.json for modules with these ranks and alphas.

    Of `base` only the last name is written: a LoRA is passed on, and where its maker keeps files is nobody's business.
    """
    name = Path(base).absolute().name if base else None
    return json.dumps(_stated(ranks, alphas, dropout=dropout, base=name, use_dora=use_dora), indent=1)


def diffusers_json(ranks: Mapping[str, int], alphas: Mapping[str, float], *, use_dora: bool) -> str:
    """The same as diffusers' metadata, for modules under its names."""
    stated = _stated(ranks, alphas, dropout=0.0, base=None, use_dora=use_dora)
    return json.dumps({f"{DIFFUSERS_PART}{name}": value for name, value in stated.items()}, indent=1)


def _stated(
    ranks: Mapping[str, int], alphas: Mapping[str, float], *, dropout: float, base: str | None, use_dora: bool
) -> dict[str, object]:
    """PEFT's settings: the most frequent rank and alpha, the rest as patterns."""
    rank, alpha = (Counter(table.values()).most_common(1)[0][0] for table in (ranks, alphas))
    settings: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "target_modules": sorted(ranks),
        "bias": "none",
        "inference_mode": True,
    }
    others = {
        "rank_pattern": {module: value for module, value in sorted(ranks.items()) if value != rank},
        "alpha_pattern": {module: value for module, value in sorted(alphas.items()) if value != alpha},
        "use_dora": use_dora,
    }
    return settings | {name: value for name, value in others.items() if value}
