"""How the Train tab reaches the form of all settings, which another tab owns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from trainer_core.contracts.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class FormLink:
    """The form from outside.

    Attributes:
        inputs: the components that hold the settings.
        read: what they hold as settings; raises ConfigError naming everything wrong.
        fill: the updates, by component, that put settings into the form.
        problem: hidden; why the form cannot be started as it is, empty where it can.
        problem_of: why settings cannot be started, as of now; empty where they can.
    """

    inputs: frozenset[Block]
    read: Callable[[Mapping[Block, Any]], TrainConfig]
    fill: Callable[[TrainConfig], Mapping[Block, Any]]
    problem: gr.Textbox
    problem_of: Callable[[TrainConfig], str]
