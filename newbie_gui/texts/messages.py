"""The Chinese of everything that the engine says: (English, Chinese) pairs, see `newbie_gui.translate`.

``{}`` in the English is a value. In the Chinese ``{}`` is the next value and ``{2}`` that of hole 2, as they are; a
letter says more about a value, and where the value is not so, the pair does not fit:

- ``{n}`` is a number,
- ``{w}`` is one word, such as the name of an option,
- ``{t}`` is text of the engine, all of it in the catalogue,
- ``{x}`` is text that may come from elsewhere (the system, a library): in Chinese as far as it is known,
- ``{v}`` is a list of names, at its end perhaps "and 3 more",
- ``{l}`` is a list of texts, separated by commas, at its end perhaps "and 3 more".

Where a value meets Chinese, a space is put between it and a Latin letter or digit. Tests hold the pairs equal to the
source, both ways.
"""

from newbie_gui.texts import (
    messages_composed,
    messages_contracts,
    messages_dataset,
    messages_foreign,
    messages_hub,
    messages_jobs,
    messages_lora,
    messages_model,
    messages_pages,
    messages_planning,
    messages_system,
    messages_tools,
    messages_training,
    phases,
)

CATALOGUE: tuple[tuple[str, str], ...] = (
    *messages_contracts.MESSAGES,
    *messages_foreign.MESSAGES,
    *messages_dataset.MESSAGES,
    *messages_planning.MESSAGES,
    *messages_model.MESSAGES,
    *messages_hub.MESSAGES,
    *messages_lora.MESSAGES,
    *messages_training.MESSAGES,
    *messages_tools.MESSAGES,
    *messages_jobs.MESSAGES,
    *phases.MESSAGES,
    *messages_pages.MESSAGES,
    *messages_composed.MESSAGES,
    *messages_system.MESSAGES,
)
