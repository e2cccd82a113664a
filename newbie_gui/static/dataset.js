// The large view of one picture on the Dataset tab: its keys, and what is typed into its caption. Runs once a page.
(() => {
  // Keys work while the view is open, wherever the focus is but in other fields.
  const press = (name) => {
    const button = document.querySelector("#" + name);
    if (button && button.offsetParent && !button.disabled) { button.click(); return true; }
    return false;
  };
  document.addEventListener("keydown", (event) => {
    const editor = document.querySelector("#dataset-editor");
    if (!editor || !editor.offsetParent) return;
    const typing = event.target.closest("input, textarea, [role=listbox], select");
    if (typing && !editor.contains(typing)) return;
    if (event.altKey || event.shiftKey || event.isComposing) return;
    const alone = { PageDown: "dataset-next", PageUp: "dataset-previous", Escape: "dataset-close" };
    const save = (event.ctrlKey || event.metaKey) && event.key === "Enter";
    const name = save ? "dataset-save-next" : event.ctrlKey || event.metaKey ? undefined : alone[event.key];
    if (!name) return;
    if (waiting) {
      event.preventDefault();
      if (save) waiting.typed.push("");
      return;
    }
    if (press(name)) event.preventDefault();
  });
  // An answer writes the caption anew: what is typed from the press until then is held back, with each Ctrl+Enter in
  // it, and follows the answer.
  let waiting = null;
  const box = () => document.querySelector("#dataset-caption textarea");
  const follow = (typed) => {
    const field = box();
    if (!field) return;
    field.setAttribute("aria-busy", "false");
    if (!typed) return;
    field.value += typed;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  // Where no answer comes, what was typed is shown at least.
  const giveBack = () => {
    const typed = waiting ? waiting.typed.join("\n") : "";
    waiting = null;
    follow(typed);
  };
  document.addEventListener("click", (event) => {
    if (waiting || !event.target.closest("#dataset-save, #dataset-save-next, #dataset-previous, #dataset-next")) return;
    const mine = waiting = { typed: [""] };
    box().setAttribute("aria-busy", "true");
    setTimeout(() => { if (waiting === mine) giveBack(); }, 30000);
  }, true);
  document.addEventListener("beforeinput", (event) => {
    const composed = event.inputType.startsWith("insertComposition");
    if (!waiting || composed || !event.target.closest("#dataset-caption")) return;
    event.preventDefault();
    const last = waiting.typed.length - 1;
    const pasted = event.dataTransfer?.getData("text/plain");
    const text = /^insert(LineBreak|Paragraph)$/.test(event.inputType) ? "\n" : event.data ?? pasted ?? "";
    const erased = event.inputType.startsWith("deleteContentBackward");
    waiting.typed[last] = erased ? waiting.typed[last].slice(0, -1) : waiting.typed[last] + text;
  }, true);
  document.addEventListener("compositionend", (event) => {
    if (waiting && event.target.closest("#dataset-caption")) waiting.typed[waiting.typed.length - 1] += event.data;
  }, true);
  // After a press that writes the caption anew.
  const answered = (caption) => {
    const end = Date.now() + 2000;
    const go = () => {
      if (!waiting || !box()) return giveBack();
      // Drawn a moment after the answer came.
      if (plain(box().value) !== plain(caption ?? "") && Date.now() < end) return void setTimeout(go, 20);
      if (document.querySelector("#dataset-unsaved")?.offsetParent) return giveBack();
      const [typed, ...later] = waiting.typed;
      waiting = null;
      follow(typed);
      if (!later.length) return;
      setTimeout(() => { if (press("dataset-save-next") && waiting) waiting.typed = later; }, 50);
    };
    go();
  };
  let shownLast = "";
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#dataset-close")) return;
    const current = document.querySelector("#dataset-grid [aria-current]");
    shownLast = current ? current.dataset.on : "";
  }, true);
  const held = (name) => document.querySelector(`#dataset-${name} textarea`)?.value ?? "";
  const plain = (text) => text.replace(/\r\n?/g, "\n").trim();
  const unsaved = () => {
    if (!held("chosen")) return false;
    if (waiting?.typed.some(Boolean)) return true;
    let kept = [];
    try { kept = JSON.parse(held("kept")); } catch { /* Nothing was written yet. */ }
    const mine = kept[0] === held("shown") && kept[1] === held("chosen");
    const last = mine && plain(kept[2]) === plain(held("loaded")) ? kept[3] : held("loaded");
    return plain(held("caption")) !== plain(last);
  };
  document.addEventListener("focusout", (event) => {
    if (!event.target.closest("#dataset-caption")) return;
    // The view's own buttons say what becomes of it.
    if (event.relatedTarget && event.relatedTarget.closest("#dataset-editor")) return;
    if (unsaved()) document.getElementById("dataset-leave").click();
  });
  window.addEventListener("beforeunload", (event) => {
    if (unsaved() && !window.keptForReload) event.preventDefault();
  });

  // The list of thumbnails is drawn anew, so the focus in it is lost: it goes to the caption, and back at the end. Not
  // where it would bring up a keyboard on the screen.
  const goTo = () => {
    const end = Date.now() + 5000;
    const go = () => {
      const editor = document.querySelector("#dataset-editor");
      if (!editor || !editor.offsetParent) {
        // Shown a moment after the answer came.
        if (Date.now() < end) setTimeout(go, 50);
        return;
      }
      const box = editor.getBoundingClientRect();
      const field = editor.querySelector("textarea");
      const below = editor.querySelector("#dataset-close").getBoundingClientRect().bottom;
      if (box.top < 0 || below > window.innerHeight) editor.scrollIntoView({ block: "start" });
      if (field && navigator.maxTouchPoints === 0) field.focus({ preventScroll: true });
    };
    go();
  };
  const goBack = () => {
    const thumbs = [...document.querySelectorAll("#dataset-grid .ds-thumb")];
    const last = thumbs.find((thumb) => thumb.dataset.on === shownLast) || thumbs[0];
    if (last) last.focus();
  };
  window.datasetEditor = { answered, goTo, goBack, unsaved: () => { giveBack(); return unsaved(); } };
})();
