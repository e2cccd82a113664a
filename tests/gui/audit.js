// What a person could not read, reach or hit on the page as it is now. Each check gives one line a finding.
// Run by Visit.audit; test_audit.py shows that each of them finds what it is for.

const CONTROLS = "button, a[href], input:not([type=hidden]), select, textarea, summary, [role=button], [role=tab],"
  + " [role=checkbox], [role=radio], [role=slider], [role=switch], [role=option]";

function seen(element) {
  if (!element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) return false;
  const box = element.getBoundingClientRect();
  return box.width > 2 && box.height > 2 && !element.closest("[aria-hidden=true], [inert]");
}

function named(element) {
  const id = element.id ? "#" + element.id : "";
  const words = element.innerText || element.value || element.getAttribute("aria-label") || "";
  const text = words.trim().replace(/\s+/g, " ").slice(0, 40);
  const home = element.closest("[id]");
  return `${element.tagName.toLowerCase()}${id} "${text}"` + (id || !home ? "" : ` in #${home.id}`);
}

function disabled(element) {
  return element.closest("[disabled], [aria-disabled=true], fieldset[disabled]") !== null;
}

// Wider than the window, its own scroll boxes apart.
function sideways() {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const wide = [...document.body.querySelectorAll("*")].filter((element) => {
    if (!seen(element) || element.getBoundingClientRect().right <= width + 1) return false;
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement) {
      if (getComputedStyle(up).overflowX !== "visible") return false;
    }
    return true;
  });
  return [`the page is ${document.documentElement.scrollWidth} px wide`, ...wide.slice(-3).map(named)];
}

// Controls under `least` pixels; a link inside a sentence and a native checkbox with its label count as a whole.
function smallTargets(least) {
  const found = [];
  for (const element of document.querySelectorAll(CONTROLS)) {
    if (!seen(element) || disabled(element)) continue;
    const style = getComputedStyle(element);
    const around = element.parentElement ? element.parentElement.innerText.trim() : "";
    if (style.display === "inline" && around.length > element.innerText.trim().length) continue;
    const target = element.closest("label") || element;
    const box = target.getBoundingClientRect();
    const [width, height] = [Math.round(box.width), Math.round(box.height)];
    if (Math.min(width, height) < least) found.push(`${named(element)} is ${width} x ${height} px`);
  }
  return found;
}

const painter = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
  .getContext("2d", { willReadFrequently: true });
const colours = new Map();

// Any CSS colour as [red, green, blue, alpha], each 0 to 1.
function rgba(css) {
  if (!colours.has(css)) {
    painter.clearRect(0, 0, 1, 1);
    painter.fillStyle = css;
    painter.fillRect(0, 0, 1, 1);
    colours.set(css, [...painter.getImageData(0, 0, 1, 1).data].map((part) => part / 255));
  }
  return colours.get(css);
}

function over(top, below) {
  return [0, 1, 2].map((index) => top[index] * top[3] + below[index] * (1 - top[3]));
}

// The colour behind an element; null where a picture or a gradient is behind it.
function behind(element) {
  const layers = [];
  for (let up = element; up; up = up.parentElement) {
    const style = getComputedStyle(up);
    const colour = rgba(style.backgroundColor);
    if (style.backgroundImage !== "none" && colour[3] < 1) return null;
    layers.push(colour);
    if (colour[3] === 1) break;
  }
  const canvas = rgba(getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "#121212" : "#fff");
  return layers.reduceRight((below, layer) => over(layer, below), canvas.slice(0, 3));
}

function opacity(element) {
  let product = 1;
  for (let up = element; up; up = up.parentElement) product *= Number(getComputedStyle(up).opacity);
  return product;
}

function luminance(colour) {
  const [red, green, blue] = colour.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(element, css) {
  const below = behind(element);
  if (below === null) return null;
  const text = rgba(css);
  const shown = over([text[0], text[1], text[2], text[3] * opacity(element)], below);
  const [low, high] = [luminance(shown), luminance(below)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function texts() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (text && !element.closest("script, style, noscript, svg title") && seen(element)) found.push([element, text]);
  }
  return found;
}

// Text under 4.5:1 (large text 3:1); what is switched off is exempt.
function lowContrast() {
  const found = new Set();
  const look = (element, css, what) => {
    if (disabled(element)) return;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(element, css);
    if (ratio !== null && ratio < (large ? 3 : 4.5)) found.add(`${named(element)} ${what}: ${ratio.toFixed(2)}:1`);
  };
  for (const [element] of texts()) {
    const style = getComputedStyle(element);
    look(element, element.namespaceURI.endsWith("svg") ? style.fill : style.color, "text");
  }
  for (const element of document.querySelectorAll("input, textarea")) {
    if (!seen(element) || ["checkbox", "radio", "range", "file", "color"].includes(element.type)) continue;
    if (element.value) look(element, getComputedStyle(element).color, "value");
    else if (element.placeholder) look(element, getComputedStyle(element, "::placeholder").color, "placeholder");
  }
  return [...found];
}

// Three and more Latin words in a row, the allowed ones taken out first: in a Chinese page, what was not translated.
function latinSentences(allowed) {
  const known = new RegExp(`(?<![A-Za-z])(?:${allowed.join("|")})(?![A-Za-z])`, "g");
  const found = new Set();
  const look = (text) => {
    const left = text.replace(/\S*[\/\\._=:*]\S*/g, "·").replace(known, "·");
    if (/[A-Za-z][A-Za-z'’-]*(?:,? [A-Za-z][A-Za-z'’-]*){2,}/.test(left)) found.add(text.trim().slice(0, 120));
  };
  for (const [, text] of texts()) look(text);
  for (const name of ["aria-label", "placeholder", "title", "alt"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) if (seen(element)) look(element.getAttribute(name));
  }
  return [...found];
}

// Controls that look the same with and without the keyboard's focus. Press a key before: a mouse shows no focus.
function noFocusMark() {
  const still = document.createElement("style");
  still.textContent = "* { transition: none !important; animation: none !important; }";
  document.head.append(still);
  const look = (element) => {
    const related = [element, element.parentElement, element.nextElementSibling, element.closest("label, .block")];
    return related.filter(Boolean).map((each) => {
      const style = getComputedStyle(each);
      const outline = style.outlineStyle === "none" ? "" : style.outline;
      return [outline, style.boxShadow, style.borderColor, style.backgroundColor, style.textDecoration].join(";");
    }).join("|");
  };
  const found = [];
  for (const element of document.querySelectorAll(CONTROLS)) {
    if (!seen(element) || disabled(element) || element.tabIndex < 0) continue;
    element.focus({ preventScroll: true, focusVisible: true });
    if (document.activeElement !== element) continue;
    const focused = look(element);
    element.blur();
    if (focused === look(element)) found.push(named(element));
  }
  still.remove();
  return found;
}
