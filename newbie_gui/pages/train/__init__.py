"""The Train tab."""

from newbie_gui.pages.train.form_link import FormLink
from newbie_gui.pages.train.tab import TrainTab, build

__all__ = ["FormLink", "TrainTab", "build"]
