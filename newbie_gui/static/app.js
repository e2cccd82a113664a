// Runs before Gradio: the page's language is the one that was chosen, not the browser's.
(() => {
  const locale = "__LOCALE__";
  Object.defineProperty(navigator, "language", { get: () => locale });
  Object.defineProperty(navigator, "languages", { get: () => [locale] });
  document.documentElement.lang = locale;

  // The address names the tab (#train), so that a reload or a link comes back to it.
  const button = (name) => document.getElementById(`tab-${name}-button`);
  const wanted = () => location.hash.slice(1);

  function follow() {
    const tab = wanted() && button(wanted());
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  }

  document.addEventListener("click", (event) => {
    // The other language shows the same tab: the redirect keeps what follows the "#".
    const language = event.target.closest('a[href^="/lang/"]');
    if (language) language.hash = location.hash;
    const tab = event.target.closest("button[role=tab]");
    const name = tab && tab.id.match(/^tab-([a-z]+)-button$/);
    if (name) history.replaceState(null, "", `#${name[1]}`);
  });
  window.addEventListener("hashchange", follow);

  const waiting = new MutationObserver(() => {
    document.documentElement.lang = locale;
    if (!document.querySelector("button[role=tab]")) return;
    waiting.disconnect();
    follow();
  });
  waiting.observe(document, { childList: true, subtree: true });

  // Gradio's text boxes tell of what is typed at key presses alone: not of what is pasted, dropped, cut, deleted, undone,
  // corrected or composed (Chinese). Each such change is told as a press of no key.
  let pressed = null;
  const textBox = (element) => element.matches?.("textarea, input[type=text], input[type=password]");
  const tell = (box) => box.dispatchEvent(new KeyboardEvent("keypress", { key: "Unidentified" }));
  document.addEventListener("keydown", () => { pressed = null; }, true);
  document.addEventListener("keypress", (event) => { pressed = event.target; }, true);
  document.addEventListener("input", (event) => {
    const told = pressed === event.target;
    pressed = null;
    if (!told && !event.isComposing && textBox(event.target)) tell(event.target);
  });
  document.addEventListener("compositionend", (event) => {
    if (textBox(event.target)) tell(event.target);
  });

  // Gradio gives each radio button a name of its own, anew at each change, and no group its label: the arrow keys stay
  // where they are, every button is a stop of the Tab key, and screen readers do not say what is chosen.
  function joinRadios() {
    for (const group of document.querySelectorAll("fieldset[id]")) {
      for (const radio of group.querySelectorAll("input[type=radio]")) {
        if (radio.name !== group.id) radio.name = group.id;
      }
      const label = group.querySelector("[data-testid=block-info]");
      if (!label || group.hasAttribute("aria-labelledby")) continue;
      label.id = `${group.id}-label`;
      group.setAttribute("aria-labelledby", label.id);
    }
  }
  new MutationObserver(joinRadios).observe(
    document, { childList: true, subtree: true, attributes: true, attributeFilter: ["name"] },
  );

  // A question (class "question") stands in the page only while it is open. Focus goes to it, so that it is heard and in
  // view, and then back to the button that asked: what had it is gone.
  const questions = new Map();
  let clicked = null;
  document.addEventListener("click", (event) => { clicked = event.target.closest("button"); }, true);

  function followQuestions() {
    const open = [...document.querySelectorAll(".question")];
    for (const box of open) {
      const words = box.querySelector(".prose")?.textContent.trim();
      const known = questions.get(box.id);
      if (!words || known?.words === words) continue;
      const asker = clicked && !box.contains(clicked) ? clicked : known?.asker;
      questions.set(box.id, { words, asker });
      for (const [name, value] of [["role", "group"], ["tabindex", "-1"], ["aria-label", words]]) {
        box.setAttribute(name, value);
      }
      // Its buttons come after its words.
      requestAnimationFrame(() => box.scrollIntoView({ block: "nearest" }));
      if (!textBox(document.activeElement)) box.focus({ preventScroll: true });
    }
    for (const [id, { asker }] of questions) {
      if (open.some((box) => box.id === id)) continue;
      questions.delete(id);
      if (asker && document.activeElement === document.body) standingFor(asker)?.focus();
    }
  }
  // Where the page was drawn anew, another element is the same button.
  function standingFor(button) {
    if (button.isConnected) return button;
    if (button.id) return document.getElementById(button.id);
    const { do: verb, on } = button.dataset;
    const alike = [...document.querySelectorAll("button[data-do]")];
    return alike.find((other) => other.dataset.do === verb && other.dataset.on === on);
  }
  new MutationObserver(followQuestions).observe(document, { childList: true, characterData: true, subtree: true });

  // Every start of the trainer has a token of its own: a page of an earlier one is refused whatever it asks.
  const restarted = __RESTARTED__;
  const fetched = window.fetch;
  window.fetch = async (...asked) => {
    const address = String(asked[0].url ?? asked[0]);
    const upload = /\/upload(\?|$)/.test(address) ? 1 : 0;
    uploads += upload;
    let answer;
    try {
      answer = await fetched.apply(window, asked);
    } catch (error) {
      if (error.name !== "AbortError") cutAt = Math.min(cutAt, Date.now());
      throw error;
    } finally {
      uploads -= upload;
    }
    if (answer.status === 401) warn();
    else if (answer.ok) document.getElementById("page-outdated")?.remove();
    if (answer.ok) arrived(address);
    return answer;
  };
  // How many are on their way: the browser asks before it leaves, as what has not arrived whole is thrown away.
  let uploads = 0;
  window.addEventListener("beforeunload", (event) => {
    if (uploads && !window.keptForReload) event.preventDefault();
  });

  // Where the connection was lost, Gradio reloads the page once it is back: what was typed and reached nobody is shown
  // then, to be copied to its place.
  const LOST = "newbie-typed";
  const lostWords = __LOST__;
  // Text boxes, and when they were typed into last. What is older than an answer's way has reached the server, unless a
  // request was lost meanwhile: others may be answered before Gradio reloads.
  const typed = new Map();
  const WAY_MS = 3000;
  let cutAt = Infinity;
  document.addEventListener("input", (event) => {
    if (textBox(event.target) && !event.target.readOnly) typed.set(event.target, Date.now());
  }, true);

  function arrived(address) {
    // Gradio asks for this only where the connection was lost, until somebody answers, and reloads then.
    if (!address.includes("/app_id")) {
      const reached = Math.min(Date.now(), cutAt) - WAY_MS;
      for (const [box, at] of typed) if (at < reached) typed.delete(box);
      return;
    }
    const boxes = new Set([...typed.keys()].filter((box) => box.isConnected && box.value));
    const caption = document.querySelector("#dataset-caption textarea");
    boxes.delete(caption);
    if (window.datasetEditor.unsaved()) boxes.add(caption);
    const kept = [...boxes].map((box) => [box.closest(".block")?.querySelector("span")?.textContent ?? "", box.value]);
    if (kept.length) sessionStorage.setItem(LOST, JSON.stringify(kept));
    window.keptForReload = true;
  }

  function showLost() {
    let kept = [];
    try { kept = JSON.parse(sessionStorage.getItem(LOST)) ?? []; } catch { /* Nobody's. */ }
    if (!kept.length) return;
    const box = document.createElement("section");
    box.id = "page-typed";
    box.setAttribute("role", "alert");
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: lostWords.close });
    close.addEventListener("click", () => { sessionStorage.removeItem(LOST); box.remove(); });
    box.append(`⚠ ${lostWords.said}`);
    for (const [label, text] of kept) {
      const area = Object.assign(document.createElement("textarea"), { readOnly: true, value: text, ariaLabel: label });
      box.append(Object.assign(document.createElement("p"), { textContent: label }), area);
    }
    box.append(close);
    document.body.append(box);
  }
  window.addEventListener("load", showLost);

  function warn() {
    if (document.getElementById("page-outdated")) return;
    const banner = document.createElement("div");
    banner.id = "page-outdated";
    banner.setAttribute("role", "alert");
    banner.textContent = `⚠ ${restarted}`;
    document.body.append(banner);
  }

  // What Gradio says in English only, to screen readers and in its toasts.
  const SAID = [
    [/^Click to upload or drop files$/, "点击上传，或把文件拖到这里"],
    [/^number input for (.*)$/, "$1：输入数值"],
    [/^range slider for (.*)$/, "$1：滑块"],
    [/^Reset to default value$/, "恢复默认值"],
    [/^Info$/, "提示"],
    [/^Success$/, "成功"],
    [/^Warning$/, "注意"],
    [/^Error$/, "错误"],
    [/^Connection to the server was lost\. Attempting reconnection\.\.\.$/, "与服务器的连接已断开，正在尝试重新连接……"],
  ];

  function translateSaid() {
    for (const toast of document.querySelectorAll(".toast-body")) {
      const texts = document.createTreeWalker(toast, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const known = SAID.find(([english]) => english.test(texts.currentNode.data.trim()));
        if (known) texts.currentNode.data = known[1];
      }
    }
    for (const element of document.querySelectorAll("[aria-label]")) {
      const label = element.getAttribute("aria-label");
      const known = SAID.find(([english]) => english.test(label));
      if (known) element.setAttribute("aria-label", label.replace(...known));
    }
  }

  if (locale === "zh-CN") new MutationObserver(translateSaid).observe(document, { childList: true, subtree: true });
})();
