"""The Dataset tab."""

from newbie_gui.pages.dataset.tab import DatasetTab, build

__all__ = ["DatasetTab", "build"]
