"""Keys of other NewBie trainers' config files: what each asks for, and what becomes of it here.

The upstream trainer (NewBieAI-Lab/NewbieLoraTrainer) and its fork (Cosmic1Neko/NewbieLoraTrainer) share most key
names with this program; those need no translation. The rest is listed here. A key that would change what is
learnt and that cannot be honoured blocks the translation until its owner agrees to go on without it.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from trainer_core.contracts.errors import UserError

Verdict = Literal["taken", "translated", "added", "ignored", "left out", "cannot", "unknown"]


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    """One key that is no option here.

    Attributes:
        why: the reason why it is ignored, or what the result would lack.
        blocks: it changes what is learnt, unless its value is one of ``off``.
        off: values that ask for nothing.
        part_of: another key whose detail it is: it counts for nothing where that one is off.
        secret: the value must not be shown.
    """

    why: str
    blocks: bool = False
    off: tuple[object, ...] = (False, 0, "", None)
    part_of: str = ""
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """What became of one key; ``str`` of it is the line for a person."""

    key: str
    value: object
    verdict: Verdict
    reason: str = ""

    def __str__(self) -> str:
        shown = repr(self.value)
        # No TOML holds None: the file lacks the key.
        named = self.key if self.value is None else f"{self.key} = {shown if len(shown) <= 60 else shown[:57] + '...'}"
        text = f"{named}: {_VERDICTS[self.verdict]}"
        return f"{text} {self.reason}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Translation:
    """The values by our names, what became of each key, and the keys that forbid to go on."""

    values: Mapping[str, object]
    reports: tuple[KeyReport, ...]
    blocking: tuple[str, ...]


_VERDICTS: Mapping[Verdict, str] = MappingProxyType(
    {
        "taken": "taken",
        "translated": "taken as",
        "added": "added, because",
        "ignored": "ignored, because",
        "left out": "left out, as asked:",
        "cannot": "cannot be honoured yet:",
        "unknown": "is not known:",
    }
)

_ADAPTERS = MappingProxyType(
    {"": "lora", "lora": "lora", "lokr": "lokr", "lyco_lokr": "lokr", "lycoris_lokr": "lokr", "lyco-lokr": "lokr"}
)
_NO_NORMS = "the other trainer reads this key and does not train the norm layers either"
_LOKR_ALPHA = "it counts for nothing where every factor is whole"
_LOKR_DROPOUT = "LyCORIS drops nothing of a LoKr's inputs"
_LOKR_MISSING = MappingProxyType(
    {
        "lokr_rank": "without this key the other trainer takes lora_rank",
        "lokr_factor": "without this key the other trainer divides as evenly as can be",
    }
)
_LOKR_RANDOM = "nothing of the adapter would be left out at random"
# Half of the longest side that a layer of the released model has: from this rank on LyCORIS keeps every factor whole.
_WHOLE_RANK = 4608
_INIT = "the adapter would start from the ordinary initialisation (noise and zeros)"

FOREIGN_KEYS: Mapping[str, ForeignKey] = MappingProxyType(
    {
        # Upstream: speed only.
        "trust_remote_code": ForeignKey(why="no code from a model's folder is ever run here"),
        "dataloader_prefetch_factor": ForeignKey(
            why="the threads of dataloader_num_workers keep enough batches ready; results are the same"
        ),
        "cache_in_memory": ForeignKey(why="the cache is small and read ahead; results are the same"),
        # Upstream: LoKr, beside what has the same name here.
        "lokr_alpha": ForeignKey(why="it goes into lora_alpha", part_of="adapter_type"),
        "lokr_target_modules": ForeignKey(why="it goes into lora_target_modules", part_of="adapter_type"),
        "lokr_dropout": ForeignKey(why=_LOKR_DROPOUT, part_of="adapter_type"),
        "lokr_rank_dropout": ForeignKey(why=_LOKR_RANDOM, part_of="adapter_type", blocks=True),
        "lokr_module_dropout": ForeignKey(why=_LOKR_RANDOM, part_of="adapter_type", blocks=True),
        "lokr_train_norm": ForeignKey(why=_NO_NORMS, part_of="adapter_type"),
        # Fork: the adapter.
        "use_dora": ForeignKey(why="direction and magnitude (DoRA) would not be learnt apart", blocks=True),
        "use_rslora": ForeignKey(why="the adapter's scale would be alpha / rank, not alpha / sqrt(rank)", blocks=True),
        "train_norm": ForeignKey(why=_NO_NORMS),
        "init_lora_weights": ForeignKey(why=_INIT, blocks=True, off=(True, "")),
        "eva_tau": ForeignKey(why=_INIT, part_of="init_lora_weights"),
        "eva_num_batches": ForeignKey(why=_INIT, part_of="init_lora_weights"),
        "eva_num_steps": ForeignKey(why=_INIT, part_of="init_lora_weights"),
        "pissa_init_dir": ForeignKey(why=_INIT, part_of="init_lora_weights"),
        "lora_rank_pattern": ForeignKey(why="every module would get lora_rank", blocks=True, off=({}, "")),
        "lora_alpha_pattern": ForeignKey(why="every module would get lora_alpha", blocks=True, off=({}, "")),
        "use_ema": ForeignKey(
            why="the extra file with weights averaged over the steps (_ema) would not be made", blocks=True
        ),
        "ema_decay": ForeignKey(why="it belongs to use_ema", part_of="use_ema"),
        # Fork: captions, beside what has the same name here.
        "drop_artist_rate": ForeignKey(why="artist tags would never be left out", blocks=True),
        # Fork: the loss and the VAE.
        "use_multires_loss": ForeignKey(why="the second loss on a smaller copy would not be added", blocks=True),
        "multires_factor": ForeignKey(why="it belongs to use_multires_loss", part_of="use_multires_loss"),
        "vae_reflect_padding": ForeignKey(
            why="the VAE would pad with zeros, so edges are encoded otherwise", blocks=True
        ),
        "wandb_key": ForeignKey(
            why="nothing is sent to other servers; events.jsonl has the losses, tensorboard = true shows them",
            secret=True,
        ),
    }
)

# Options here whose details are not: the values that ask for none.
_OFF_OF_OURS: Mapping[str, tuple[object, ...]] = MappingProxyType({"adapter_type": ("lora", "")})
_OTHER_TRAINERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("anima_repo_root", "qwen_model_path", "t5_tokenizer_path"), "another model (Anima)"),
        **dict.fromkeys(
            ("preference_json", "sft_lora_path", "dmpo_alpha", "real_ratio"), "another training (preferences, DPO)"
        ),
    }
)
# What both other trainers do where their file has no key for it, and only the fork. Key: (value, reason).
_THEIR_DEFAULTS: Mapping[str, tuple[object, str]] = MappingProxyType(
    {
        "timestep_sampling": ("lognorm", "the other trainer always draws timesteps so"),
        "caption_dropout_rate": (0.0, "without this key the other trainer drops no caption"),
        "mixed_precision": ("no", "without this key the other trainer uses full precision"),
        "optimizer_type": ("AdamW", "without this key the other trainer uses AdamW"),
        "bucket_upscale": (True, "the other trainer always enlarges small images"),
    }
)
_FORKS_DEFAULTS: Mapping[str, tuple[object, str]] = MappingProxyType(
    {
        "keep_tokens_separator": (
            "|||",
            "without this key the fork parts tags so, other captions stay as they are",
        ),
        "max_gemma_tokens": (1023, "the fork reads 1280 tokens of a caption, of which the base has places for 1023"),
    }
)
# Options here that upstream has not.
_FORKS_OPTIONS = (
    "caption_dropout_rate", "shuffle_caption", "keep_tokens_separator", "caption_tag_dropout_rate", "enable_wildcard",
)  # fmt: skip


def hint_of(key: str) -> str:
    """The end of "is not an option ..." for ``key`` in an ordinary config; empty if no other trainer has it."""
    if key in _OTHER_TRAINERS:
        return f"; it belongs to a config for {_OTHER_TRAINERS[key]}"
    if key not in FOREIGN_KEYS:
        return ""
    return '; it belongs to another trainer\'s config; "python -m trainer_core import FILE" translates such a file'


def is_secret(key: str) -> bool:
    """True where the value of ``key`` must not be shown."""
    return key in FOREIGN_KEYS and FOREIGN_KEYS[key].secret


def translate(
    values: Mapping[str, object],
    *,
    known: Collection[str],
    without: Collection[str] = (),
    nearest: Callable[[str], str] = lambda key: "",
    own: bool = False,
) -> Translation:
    """Translate another trainer's values, its sections opened.

    Args:
        known: the names of our own options; those are taken as they are (their values are not checked here).
        without: keys to leave out although what is learnt then differs.
        nearest: a hint for a key that nobody knows.
        own: it is a file of ours, with keys that are none: nothing of the other trainers' is put in where it is silent.

    Raises:
        UserError: ``foreign_model``, the file is for another model or another kind of training;
            ``key_missing``, ``without`` names a key that the file lacks.
    """
    _require_newbie(values)
    absent = sorted(set(without) - set(values))
    if absent:
        raise UserError("key_missing", f"--without {absent[0]}: the file has no such key.")
    reports: dict[str, KeyReport] = {}
    taken: dict[str, object] = {}
    for key, value in values.items():
        reports[key] = _report(key, value, values, known=known, without=without, nearest=nearest)
        if reports[key].verdict == "taken":
            taken[key] = value
    if not own:
        _take_adapter(values, taken, reports)
        _take_alpha(taken, reports)
        _add_their_defaults(taken, reports)
    blocking = tuple(key for key, report in reports.items() if report.verdict in ("cannot", "unknown"))
    return Translation(values=taken, reports=tuple(reports.values()), blocking=blocking)


def _require_newbie(values: Mapping[str, object]) -> None:
    for key, what in _OTHER_TRAINERS.items():
        if key in values:
            raise UserError(
                "foreign_model",
                f"This file is for {what}: it sets {key}. Nothing was written.",
                ["Start from config_template.toml, or from: python -m trainer_core presets auto"],
            )


def _report(
    key: str,
    value: object,
    values: Mapping[str, object],
    *,
    known: Collection[str],
    without: Collection[str],
    nearest: Callable[[str], str],
) -> KeyReport:
    shown = "(hidden)" if is_secret(key) and value else value
    if key in without:
        reason = FOREIGN_KEYS[key].why if key in FOREIGN_KEYS else "its default counts"
        return KeyReport(key=key, value=shown, verdict="left out", reason=reason)
    if key in known:
        return KeyReport(key=key, value=value, verdict="taken")
    foreign = FOREIGN_KEYS.get(key)
    if foreign is None:
        return KeyReport(key=key, value=value, verdict="unknown", reason=f"it is not an option{nearest(key)}")
    if foreign.part_of and _is_off(foreign.part_of, values.get(foreign.part_of)):
        reason = f"it is a detail of {foreign.part_of}, which is off"
        return KeyReport(key=key, value=shown, verdict="ignored", reason=reason)
    if foreign.part_of in FOREIGN_KEYS:
        reason = f"it is a detail of {foreign.part_of}, whose line says what becomes of it"
        return KeyReport(key=key, value=shown, verdict="ignored", reason=reason)
    if not foreign.blocks:
        return KeyReport(key=key, value=shown, verdict="ignored", reason=foreign.why)
    if _is_off(key, value):
        return KeyReport(key=key, value=shown, verdict="ignored", reason="with this value it asks for nothing")
    return KeyReport(key=key, value=shown, verdict="cannot", reason=foreign.why)


def _is_off(key: str, value: object) -> bool:
    off = (None, *(FOREIGN_KEYS[key].off if key in FOREIGN_KEYS else _OFF_OF_OURS[key]))
    plain = value.lower() if isinstance(value, str) else value
    # True == 1 and False == 0 for Python; a rate of 1 must not pass for "true".
    return any(plain == other and (type(plain) is bool) == (type(other) is bool) for other in off)


def _take_adapter(values: Mapping[str, object], taken: dict[str, object], reports: dict[str, KeyReport]) -> None:
    """The kind of adapter by our name for it, and a LoKr as LyCORIS would make it of the file's keys."""
    told = taken.pop("adapter_type", "lora")
    kind = _ADAPTERS.get(told.lower()) if isinstance(told, str) else None
    if kind is None:
        reason = "LoRA and LoKr are the adapters that can be trained here"
        reports["adapter_type"] = KeyReport(key="adapter_type", value=told, verdict="cannot", reason=reason)
        return
    if "adapter_type" in values and reports["adapter_type"].verdict != "left out":
        taken["adapter_type"] = kind
        if kind != told:
            reports["adapter_type"] = KeyReport(key="adapter_type", value=told, verdict="translated", reason=kind)
    if kind == "lokr":
        _take_lokr(values, taken, reports)
        return
    for key in {"lokr_rank", "lokr_factor"} & taken.keys():
        reason = "it is a detail of adapter_type, which is off"
        reports[key] = KeyReport(key=key, value=taken.pop(key), verdict="ignored", reason=reason)


def _take_lokr(values: Mapping[str, object], taken: dict[str, object], reports: dict[str, KeyReport]) -> None:
    """As upstream's `setup_lora`: LoKr's own keys, where they are missing those for LoRA, then LyCORIS's defaults."""
    missing = {"lokr_rank": taken.get("lora_rank"), "lokr_factor": -1}
    for key, otherwise in missing.items():
        theirs = taken.get(key, otherwise)
        if theirs is None or reports.get(key) and key not in taken:
            continue
        taken[key], reason = _lokr_value(key, theirs)
        if key not in values:
            reports[key] = KeyReport(key=key, value=taken[key], verdict="added", reason=_LOKR_MISSING[key])
        elif reason:
            reports[key] = KeyReport(key=key, value=theirs, verdict="translated", reason=reason)
    for key, ours in (("lokr_alpha", "lora_alpha"), ("lokr_target_modules", "lora_target_modules")):
        if values.get(key) and reports[key].verdict != "left out":
            taken[ours] = values[key]
            reports[key] = KeyReport(key=key, value=values[key], verdict="translated", reason=ours)
    if not taken.get("lokr_rank"):
        taken.pop("lora_alpha", None)
        for key in {"lora_alpha", "lokr_alpha"} & values.keys():
            reports[key] = KeyReport(key=key, value=values[key], verdict="ignored", reason=_LOKR_ALPHA)
    _take_no_dropout(taken, reports)


def _take_no_dropout(taken: dict[str, object], reports: dict[str, KeyReport]) -> None:
    key = "lora_dropout"
    if taken.get(key) != 0:
        verdict: Verdict = "ignored" if key in taken else "added"
        reports[key] = KeyReport(key=key, value=taken.get(key, 0.0), verdict=verdict, reason=_LOKR_DROPOUT)
        taken[key] = 0.0


def _lokr_value(key: str, theirs: object) -> tuple[object, str]:
    """Our value, and why it is another number."""
    if key == "lokr_rank" and isinstance(theirs, int) and theirs >= _WHOLE_RANK:
        return 0, "lokr_rank = 0: at so high a rank every factor is whole"
    if key == "lokr_factor" and theirs == -1:
        return 0, "lokr_factor = 0, the most even split"
    return theirs, ""


def _take_alpha(taken: dict[str, object], reports: dict[str, KeyReport]) -> None:
    """Their default alpha, and rsLoRA: its alpha / sqrt(rank) is alpha / rank with alpha * sqrt(rank), exactly."""
    rank = taken.get("lora_rank")
    if taken.get("adapter_type") == "lokr" or type(rank) is not int or rank < 1:
        return
    if "lora_alpha" not in taken:
        taken["lora_alpha"] = float(rank)
        reason = "without this key the other trainer takes lora_rank"
        reports["lora_alpha"] = KeyReport(key="lora_alpha", value=float(rank), verdict="added", reason=reason)
    alpha = taken["lora_alpha"]
    rslora = reports.get("use_rslora")
    # Still "cannot" only where it is on, was not left out, and is no option of our own.
    if rslora is None or rslora.verdict != "cannot" or rslora.value is not True or isinstance(alpha, bool):
        return
    if isinstance(alpha, int | float):
        taken["lora_alpha"] = round(alpha * math.sqrt(rank), 6)
        reason = f"lora_alpha = {taken['lora_alpha']}, which is {alpha:g} * sqrt({rank}): the same scale"
        reports["use_rslora"] = KeyReport(key="use_rslora", value=True, verdict="translated", reason=reason)


def _add_their_defaults(taken: dict[str, object], reports: dict[str, KeyReport]) -> None:
    drops = taken.get("caption_dropout_rate", 0)
    # Upstream drops no captions and changes none.
    is_fork = any(taken.get(name) for name in _FORKS_OPTIONS) or any(
        FOREIGN_KEYS[name].blocks and not FOREIGN_KEYS[name].part_of for name in reports if name in FOREIGN_KEYS
    )
    defaults = {**_THEIR_DEFAULTS, **(_FORKS_DEFAULTS if is_fork else {})}
    if drops:
        defaults["caption_dropout_jina"] = (True, "the fork drops a caption for Jina too")
    for key, (value, reason) in defaults.items():
        if key not in taken and key not in reports:
            taken[key] = value
            reports[key] = KeyReport(key=key, value=value, verdict="added", reason=reason)
    key = "use_multires_loss"
    if is_fork and key not in reports:
        reason = "there is no second loss here; some versions of the fork add it where this key is missing"
        reports[key] = KeyReport(key=key, value=None, verdict="ignored", reason=reason)
