"""The Settings tab."""

from newbie_gui.pages.config.tab import ConfigTab, build, config_from_form

__all__ = ["ConfigTab", "build", "config_from_form"]
