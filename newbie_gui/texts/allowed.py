"""What may stand in a setting, in Chinese: the words of `OptionSpec.allowed`, `zero` and `note`."""

from types import MappingProxyType

from trainer_core.contracts.options import OptionSpec

# What 0 means, in the words of `OptionSpec.zero`.
_ZEROS = MappingProxyType(
    {
        "automatic: half of resolution": "自动：分辨率的一半",
        "automatic: twice the resolution": "自动：分辨率的两倍",
        "automatic: 64, or 16 for a resolution below 512": "自动：64；分辨率低于 512 时为 16",
        "the whole batch": "整个批次",
        "num_epochs decides": "由训练轮数决定",
        "every epoch, as 1": "每轮，与 1 相同",
        "as the rank": "与秩（rank）相同",
        "whole": "完整",
        "the most even split": "最接近的两个因子",
        "every block is recomputed": "所有模块都重新计算",
        "all weights stay on the GPU": "权重全部留在显卡上",
        "off": "关闭",
        "resolution": "与分辨率相同",
        "at every save": "每次保存时",
    }
)
_NOTES = MappingProxyType(
    {
        "1 is refused because the only copy would be lost if a save is interrupted": (
            "不允许 1：保存中断时会丢失唯一的副本"
        )
    }
)
_UNITS = MappingProxyType({"px": "像素", "tokens": "个 token", "": ""})
_TEXT_RULES = MappingProxyType(
    {
        "any": "文本",
        "path": "路径",
        "name": "普通的文件名",
        "gpus": "“all”，或 nvidia-smi 中的显卡编号，例如“0”或“0,2”",
    }
)


def allowed_zh(spec: OptionSpec) -> str:
    """`OptionSpec.allowed` in Chinese: the end of the sentence 必须是……."""
    if spec.type == "bool":
        return "true 或 false"
    if spec.choices:
        return "以下之一：" + "、".join(f"“{choice}”" for choice in spec.choices)
    if spec.type == "list":
        return "文本列表" + ("，至少一项" if spec.nonempty else "")
    if spec.type == "str":
        return _TEXT_RULES[spec.rule]
    kind = "整数" if spec.type == "int" else "数"
    multiple = f"，且为 {spec.multiple_of} 的倍数" if spec.multiple_of else ""
    return _range_zh(spec) + kind + multiple + (f"，或 0（{zero_zh(spec)}）" if spec.zero else "")


def zero_zh(spec: OptionSpec) -> str:
    """What 0 means, in Chinese; empty where 0 means nothing special."""
    return _ZEROS[spec.zero] if spec.zero else ""


def note_zh(spec: OptionSpec) -> str:
    """The reason worth knowing when a value is refused, in Chinese; empty where there is none."""
    return _NOTES[spec.note] if spec.note else ""


def _range_zh(spec: OptionSpec) -> str:
    unit = f" {_UNITS[spec.unit]}" if spec.unit else ""
    if spec.minimum is not None and spec.maximum is not None:
        return f"{spec.minimum} 到 {spec.maximum}{unit or ' '}之间的"
    bounds = (("大于", spec.above), ("不小于", spec.minimum), ("小于", spec.below), ("不大于", spec.maximum))
    present = [f"{word} {bound}{unit}" for word, bound in bounds if bound is not None]
    return "且".join(present) + "的" if present else ""
