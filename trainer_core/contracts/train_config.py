"""Every setting of a training, declared once: reader, template, form and messages derive from this list.

A `TrainConfig` that exists is valid: all problems are found together; no file is read or written for that.
"""

from dataclasses import dataclass

from trainer_core.contracts.errors import ConfigError
from trainer_core.contracts.options import option, side, specs_of
from trainer_core.contracts.step_options import StepOptions
from trainer_core.contracts.system_prompts import SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML
from trainer_core.contracts.validation import all_problems


@dataclass(frozen=True, kw_only=True)
class TrainConfig(StepOptions):
    """The settings of one training run. Paths that are not absolute mean the current folder.

    Raises:
        ConfigError: on construction, with every problem.
    """

    caption_dropout_rate: float = option(
        0.1, "Share of training items whose caption is left empty.", group="Captions", minimum=0, maximum=1
    )
    caption_dropout_jina: bool = option(
        False, "Drop the caption for Jina too; the base was trained with dropout for Gemma only."
    )
    shuffle_caption: bool = option(False, "Shuffle the tags of a caption, parted by commas of any width or new lines.")
    keep_tokens: int = option(
        0, "Tags at the start that shuffling leaves in place; in XML those of each element.", minimum=0, maximum=1000
    )
    keep_tokens_separator: str = option(
        "",
        "Text that parts the tags that stay, before it, from those that are shuffled and left out, such as |||. It is "
        "taken out of the caption; one without it is prose and stays as it is. keep_tokens counts for nothing then.",
    )
    caption_tag_dropout_rate: float = option(
        0.0, "Share of the tags that shuffling may move that a variant leaves out.", minimum=0, below=1
    )
    caption_variants: int = option(
        4,
        "Variants of a caption, shuffled or without some tags, that are encoded and cached; one of them is drawn each "
        "time.",
        minimum=1,
        maximum=32,
    )
    enable_wildcard: bool = option(
        False, "Take one part of a caption that holds <split> each time: prose or tags, say."
    )
    gemma3_prompt: str = option(
        "", "One system prompt for all captions, for Gemma only; empty uses the two below, by kind of caption."
    )
    system_prompt_tags: str = option(SYSTEM_PROMPT_TAGS, "Put before every caption of tags, for Gemma only.")
    system_prompt_xml: str = option(SYSTEM_PROMPT_XML, "Put before every caption in XML, for Gemma only.")
    max_gemma_tokens: int = option(
        512, "Longer captions are cut for Gemma (and named).", unit="tokens", minimum=8, maximum=1023
    )
    max_jina_tokens: int = option(
        2048, "Longer captions are cut for Jina (and named).", unit="tokens", minimum=8, maximum=8192
    )

    save_epochs_interval: int = option(
        1,
        "Save a checkpoint and an export every so many epochs.",
        group="Checkpoints",
        minimum=1,
        maximum=100_000,
        zero="every epoch, as 1",
        level="basic",
        rerun="continue",
    )
    save_every_n_steps: int = option(
        0, "Save every so many optimizer steps as well.", minimum=1, maximum=100_000_000, zero="off", rerun="continue"
    )
    keep_last_n_checkpoints: int = option(
        3,
        "Checkpoints that are kept; older ones are deleted after a save.",
        minimum=2,
        maximum=100_000,
        note="1 is refused because the only copy would be lost if a save is interrupted",
        rerun="continue",
    )

    sample_prompts: list[str] = option(
        [],
        "Prompts to draw while training; an empty list draws none.",
        group="Samples",
        level="basic",
        rerun="continue",
    )
    sample_negative_prompt: str = option("", "What the samples should not show.", rerun="continue")
    sample_every_n_epochs: int = option(
        1, "Draw samples every so many epochs.", minimum=1, maximum=100_000, zero="off", rerun="continue"
    )
    sample_every_n_steps: int = option(
        0,
        "Draw samples every so many optimizer steps as well.",
        minimum=1,
        maximum=100_000_000,
        zero="off",
        rerun="continue",
    )
    sample_steps: int = option(24, "Euler steps of one sample.", minimum=1, maximum=1000, rerun="continue")
    sample_cfg: float = option(4.5, "Guidance scale; 1 means no guidance.", minimum=0, maximum=100, rerun="continue")
    sample_shift: float = option(6.0, "Time shift of the sampler.", above=0, maximum=100, rerun="continue")
    sample_seed: int = option(42, "Seed of the first prompt's noise.", minimum=0, maximum=2**32 - 1, rerun="continue")
    sample_width: int = side("Width of a sample.", zero="resolution", rerun="continue")
    sample_height: int = side("Height of a sample.", zero="resolution", rerun="continue")

    validation_data_dir: str = option(
        "",
        "Folder of held-out images with captions: their loss is measured, they are never trained on.",
        group="Validation",
        rule="path",
        rerun="continue",
    )
    validation_split: float = option(
        0.0,
        "Share of the training images that is held out instead, at least one of two or more; 0 holds none out.",
        minimum=0,
        maximum=0.5,
    )
    validation_every_n_steps: int = option(
        0,
        "Measure the validation loss every so many optimizer steps.",
        minimum=1,
        maximum=100_000_000,
        zero="at every save",
        rerun="continue",
    )

    tensorboard: bool = option(
        False,
        "Write losses, rates and samples for TensorBoard too (tensorboard --logdir output_dir).",
        group="Logging",
        rerun="continue",
    )

    @property
    def images_at_once(self) -> int:
        """Images in one forward pass, at most."""
        return min(self.micro_batch_size or self.train_batch_size, self.train_batch_size)

    @property
    def adapter_rank(self) -> int:
        """What lora_alpha is divided by; 0 where it counts for nothing."""
        return self.lora_rank if self.adapter_type == "lora" else self.lokr_rank

    @property
    def system_prompts(self) -> tuple[str, str]:
        """What Gemma reads before a caption of tags, and before one in XML."""
        if self.gemma3_prompt:
            return self.gemma3_prompt, self.gemma3_prompt
        return self.system_prompt_tags, self.system_prompt_xml

    def __post_init__(self) -> None:
        values, problems = all_problems(specs_of(TrainConfig), vars(self))
        if problems:
            raise ConfigError(problems)
        for name, value in values.items():
            # Frozen, but a value must have its declared type (16 becomes 16.0, a list our own copy).
            object.__setattr__(self, name, value)
        object.__setattr__(self, "lora_alpha", self.lora_alpha or float(self.adapter_rank or 1))
