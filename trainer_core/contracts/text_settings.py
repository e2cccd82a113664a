"""How a run's captions became what the encoders read, for whoever draws with its LoRA later; and its metadata form."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from trainer_core.contracts.config import TrainConfig, options
from trainer_core.contracts.options import checked

_PREFIX = "newbie_"
# A stranger's file is not to be tokenised for minutes; the longest limit ends long before.
_LONGEST_PROMPT = 20_000


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """What Gemma reads before tags and before XML, and both encoders' token limits; named as the options."""

    system_prompt_tags: str
    system_prompt_xml: str
    max_gemma_tokens: int
    max_jina_tokens: int

    @classmethod
    def default(cls) -> Self:
        """Those of a run that sets none of them."""
        values: dict[str, Any] = {spec.name: spec.default for spec in options()}
        return cls(**{item.name: values[item.name] for item in fields(cls)})

    @classmethod
    def of(cls, config: TrainConfig) -> Self:
        """Those of a run; its `gemma3_prompt` stands in both prompts."""
        tags, xml = config.system_prompts
        return cls(
            system_prompt_tags=tags,
            system_prompt_xml=xml,
            max_gemma_tokens=config.max_gemma_tokens,
            max_jina_tokens=config.max_jina_tokens,
        )

    @classmethod
    def in_metadata(cls, metadata: Mapping[str, str]) -> Self | None:
        """Those that `metadata` wrote, None where they are not all there and allowed; nothing in it is believed."""
        specs = {spec.name: spec for spec in options()}
        values: dict[str, Any] = {}
        for item in fields(cls):
            text = metadata.get(_PREFIX + item.name)
            if text is None or len(text) > _LONGEST_PROMPT:
                return None
            try:
                values[item.name] = checked(specs[item.name], int(text) if item.type is int else text)
            except ValueError:
                return None
        return cls(**values)

    def metadata(self) -> dict[str, str]:
        """For a LoRA's file; keys that no other program reads as its own."""
        return {_PREFIX + name: str(value) for name, value in asdict(self).items()}
