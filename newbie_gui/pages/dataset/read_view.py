"""What the text encoders read of a caption under the settings of the Settings tab, to the letter."""

from markupsafe import Markup

from newbie_gui.datasets.store import DatasetState
from newbie_gui.pages.html import bullets
from newbie_gui.pages.ui import Ui
from trainer_core.dataset.captions import CaptionRules, gemma_text
from trainer_core.dataset.dataset_index import Picture

SHOWN = 8
LONG = 10_000


def render_read(ui: Ui, dataset: DatasetState, picture: Picture) -> Markup:
    """Every text that may be drawn for the picture, folded, the system prompt in grey; nothing for one left out."""
    if not picture.usable:
        return Markup("")
    config = dataset.wanted.config
    rules, caption = CaptionRules.of(config), picture.caption.text
    # To shuffle a book takes seconds.
    texts = list(dict.fromkeys(rules.made(caption) if len(caption) < LONG else rules.written(caption)))
    read = [(gemma_text(text, *config.system_prompts).removesuffix(text), text) for text in texts[:SHOWN]]
    lines = [Markup('<span class="muted">{}</span>{}').format(prompt, text) for prompt, text in read]
    said = [ui.t("dataset.read.several" if len(texts) > 1 else "dataset.read.one")]
    said.append(ui.t("dataset.read.limits", gemma=config.max_gemma_tokens, jina=config.max_jina_tokens))
    if config.caption_dropout_rate:
        key = "dataset.read.dropped_both" if config.caption_dropout_jina else "dataset.read.dropped"
        said.append(ui.t(key, percent=f"{100 * config.caption_dropout_rate:g}"))
    if len(texts) > SHOWN:
        said.append(ui.t("dataset.read.more", count=len(texts) - SHOWN))
    return Markup('<details class="ds-read"><summary>{}</summary>{}<p class="muted">{}</p></details>').format(
        ui.t("dataset.read", count=len(texts)), bullets(lines), " ".join(said)
    )
