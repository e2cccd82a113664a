"""The large view of one picture: the picture with the crop frame of its bucket, and the facts below its caption."""

from markupsafe import Markup

from newbie_gui.datasets.store import DatasetState
from newbie_gui.links import file_url
from newbie_gui.pages.dataset.words import marks_of
from newbie_gui.pages.html import fact_list, note
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.datafacts import tokens_of
from trainer_core.dataset.captions import CaptionRules
from trainer_core.dataset.dataset_index import Picture
from trainer_core.dataset.index_file import preview_name

# Keys work while the view is open, wherever the focus is but in other fields. Set up once a page.
KEYS = """
if (!window.datasetKeys) {
  window.datasetKeys = true;
  const press = (name) => {
    const button = document.querySelector('#' + name);
    if (button && button.offsetParent && !button.disabled) { button.click(); return true; }
    return false;
  };
  document.addEventListener('keydown', (event) => {
    const editor = document.querySelector('#dataset-editor');
    if (!editor || !editor.offsetParent) return;
    const typing = event.target.closest('input, textarea, [role=listbox], select');
    if (typing && !editor.contains(typing)) return;
    if (event.altKey || event.shiftKey || event.isComposing) return;
    const alone = { PageDown: 'dataset-next', PageUp: 'dataset-previous', Escape: 'dataset-close' };
    const save = (event.ctrlKey || event.metaKey) && event.key === 'Enter';
    const name = save ? 'dataset-save-next' : event.ctrlKey || event.metaKey ? undefined : alone[event.key];
    if (!name) return;
    if (waiting) {
      event.preventDefault();
      if (save) waiting.typed.push('');
      return;
    }
    if (press(name)) event.preventDefault();
  });
  // An answer writes the caption anew: what is typed from the press until then is held back, with each Ctrl+Enter in
  // it, and follows the answer.
  let waiting = null;
  const box = () => document.querySelector('#dataset-caption textarea');
  const follow = (typed) => {
    const field = box();
    if (!field) return;
    field.setAttribute('aria-busy', 'false');
    if (!typed) return;
    field.value += typed;
    field.dispatchEvent(new Event('input', { bubbles: true }));
  };
  // Where no answer comes, what was typed is shown at least.
  const giveBack = () => {
    const typed = waiting ? waiting.typed.join('\\n') : '';
    waiting = null;
    follow(typed);
  };
  document.addEventListener('click', (event) => {
    if (waiting || !event.target.closest('#dataset-save, #dataset-save-next, #dataset-previous, #dataset-next')) return;
    const mine = waiting = { typed: [''] };
    box().setAttribute('aria-busy', 'true');
    setTimeout(() => { if (waiting === mine) giveBack(); }, 30000);
  }, true);
  document.addEventListener('beforeinput', (event) => {
    const composed = event.inputType.startsWith('insertComposition');
    if (!waiting || composed || !event.target.closest('#dataset-caption')) return;
    event.preventDefault();
    const last = waiting.typed.length - 1;
    const pasted = event.dataTransfer?.getData('text/plain');
    const text = /^insert(LineBreak|Paragraph)$/.test(event.inputType) ? '\\n' : event.data ?? pasted ?? '';
    const erased = event.inputType.startsWith('deleteContentBackward');
    waiting.typed[last] = erased ? waiting.typed[last].slice(0, -1) : waiting.typed[last] + text;
  }, true);
  document.addEventListener('compositionend', (event) => {
    if (waiting && event.target.closest('#dataset-caption')) waiting.typed[waiting.typed.length - 1] += event.data;
  }, true);
  window.datasetAnswered = (caption) => {
    const end = Date.now() + 2000;
    const go = () => {
      if (!waiting || !box()) return giveBack();
      // Drawn a moment after the answer came.
      if (plain(box().value) !== plain(caption ?? '') && Date.now() < end) return void setTimeout(go, 20);
      if (document.querySelector('#dataset-unsaved')?.offsetParent) return giveBack();
      const [typed, ...later] = waiting.typed;
      waiting = null;
      follow(typed);
      if (!later.length) return;
      setTimeout(() => { if (press('dataset-save-next') && waiting) waiting.typed = later; }, 50);
    };
    go();
  };
  document.addEventListener('click', (event) => {
    if (!event.target.closest('#dataset-close')) return;
    const current = document.querySelector('#dataset-grid [aria-current]');
    window.datasetLast = current ? current.dataset.on : '';
  }, true);
  const held = (name) => document.querySelector(`#dataset-${name} textarea`)?.value ?? '';
  const plain = (text) => text.replace(/\\r\\n?/g, '\\n').trim();
  const unsaved = () => {
    if (!held('chosen')) return false;
    if (waiting?.typed.some(Boolean)) return true;
    let kept = [];
    try { kept = JSON.parse(held('kept')); } catch { /* Nothing was written yet. */ }
    const mine = kept[0] === held('shown') && kept[1] === held('chosen');
    const last = mine && plain(kept[2]) === plain(held('loaded')) ? kept[3] : held('loaded');
    return plain(held('caption')) !== plain(last);
  };
  document.addEventListener('focusout', (event) => {
    if (!event.target.closest('#dataset-caption')) return;
    // The view's own buttons say what becomes of it.
    if (event.relatedTarget && event.relatedTarget.closest('#dataset-editor')) return;
    if (unsaved()) document.getElementById('dataset-leave').click();
  });
  window.datasetUnsaved = () => { giveBack(); return unsaved(); };
  window.addEventListener('beforeunload', (event) => {
    if (unsaved() && !window.keptForReload) event.preventDefault();
  });
}
"""

# After a press that writes the caption anew.
ANSWERED = "(caption) => window.datasetAnswered(caption)"
# The list of thumbnails is drawn anew, so the focus in it is lost: it goes to the caption, and back at the end. Not
# where it would bring up a keyboard on the screen.
GO_TO_EDITOR = """() => {
  const end = Date.now() + 5000;
  const go = () => {
    const editor = document.querySelector('#dataset-editor');
    if (!editor || !editor.offsetParent) {
      // Shown a moment after the answer came.
      if (Date.now() < end) setTimeout(go, 50);
      return;
    }
    const box = editor.getBoundingClientRect();
    const field = editor.querySelector('textarea');
    const below = editor.querySelector('#dataset-close').getBoundingClientRect().bottom;
    if (box.top < 0 || below > window.innerHeight) editor.scrollIntoView({ block: 'start' });
    if (field && navigator.maxTouchPoints === 0) field.focus({ preventScroll: true });
  };
  go();
}"""
GO_BACK = """() => {
  const thumbs = [...document.querySelectorAll('#dataset-grid .ds-thumb')];
  const last = thumbs.find((thumb) => thumb.dataset.on === window.datasetLast) || thumbs[0];
  if (last) last.focus();
}"""


def render_picture(ui: Ui, dataset: DatasetState, picture: Picture) -> Markup:
    """The picture and what is to be known before its caption is changed."""
    marks = Markup("").join(Markup('<span class="ds-mark">{}</span>').format(m) for m in marks_of(ui, dataset, picture))
    notes = [ui.t("dataset.editor.encoding")] if picture.caption.state == "encoding" else []
    if picture.caption.mark:
        notes.append(ui.t("dataset.editor.mark"))
    said = Markup("").join(note("warning", text) for text in notes)
    words = Markup("<figcaption>{}{}</figcaption>").format(marks, said) if marks or said else Markup("")
    return Markup('<figure class="ds-large">{}{}</figure>').format(_framed(ui, dataset, picture), words)


def render_facts(ui: Ui, dataset: DatasetState, picture: Picture, place: str) -> Markup:
    """What is known of the picture. ``place``: "3 of 40" among the pictures shown."""
    return fact_list(_facts(ui, dataset, picture, place), "ds-facts")


def crop_frame(width: int, height: int, bucket: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, top, width, height) of what training sees of a picture, in percent of it."""
    scale = max(bucket[0] / width, bucket[1] / height)
    across, down = 100 * bucket[0] / (width * scale), 100 * bucket[1] / (height * scale)
    return (100 - across) / 2, (100 - down) / 2, across, down


def _framed(ui: Ui, dataset: DatasetState, picture: Picture) -> Markup:
    record = picture.record
    if record is None or not record.key:
        word = ui.t("dataset.mark.pending") if record is None else ui.t(f"dataset.problem.{record.problem}")
        return note("", word)
    placed = dataset.view.placed.get(picture.relative)
    frame = Markup("")
    if placed is not None:
        left, top, across, down = crop_frame(record.width, record.height, placed.bucket)
        frame = Markup('<span class="ds-frame" style="left:{:.3f}%;top:{:.3f}%;width:{:.3f}%;height:{:.3f}%"></span>')
        frame = frame.format(left, top, across, down)
    return Markup('<div class="ds-picture"><img src="{}" width="{}" height="{}" alt="{}">{}</div>').format(
        file_url("thumbs", preview_name(record.key)), record.width, record.height, picture.relative, frame
    )


def _facts(ui: Ui, dataset: DatasetState, picture: Picture, place: str) -> list[tuple[str, str]]:
    t, record = ui.t, picture.record
    facts = [(t("dataset.fact.file"), picture.relative), (t("dataset.fact.place"), place)]
    placed = dataset.view.placed.get(picture.relative)
    if record is not None and record.width:
        facts.append((t("dataset.fact.size"), f"{record.width} × {record.height}"))
    if placed is not None:
        text = t(
            "dataset.fact.bucket_text",
            width=placed.bucket[0],
            height=placed.bucket[1],
            percent=f"{100 * placed.crop_loss:.0f}",
        )
        facts.append((t("dataset.fact.bucket"), text))
    facts += [
        (t("dataset.fact.repeats"), str(picture.repeats)),
        (t("dataset.fact.tokens"), _tokens(ui, dataset, picture)),
    ]
    if picture.mistake:
        facts.append((t("dataset.fact.xml"), ui.translate(picture.mistake)))
    if record is not None and record.reason:
        facts.append((t("dataset.fact.problem"), ui.translate(record.reason)))
    return facts


def _tokens(ui: Ui, dataset: DatasetState, picture: Picture) -> str:
    config = dataset.wanted.config
    limit = config.max_gemma_tokens
    # Of the longest part, where a caption holds several.
    texts = CaptionRules.of(config).written(picture.caption.text)
    counts = [ui.datasets.counts(dataset.wanted).get(text) if dataset.wanted.has_base else None for text in texts]
    known = [count for count in counts if count is not None]
    if len(known) == len(texts):
        count = max(known)
        over = count > limit
        return ui.t("dataset.tokens.over" if over else "dataset.tokens.counted", count=count, limit=limit)
    prompt = config.system_prompts[0]
    key = "dataset.tokens.counting" if dataset.wanted.has_base else "dataset.tokens.no_base"
    return ui.t(key, count=max(tokens_of(prompt + text) for text in texts), limit=limit)
