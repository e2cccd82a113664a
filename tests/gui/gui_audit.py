"""Checks of what a page shows: those of audit.js, and the names that the browser itself knows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_SCRIPT = Path(__file__).with_name("audit.js").read_text(encoding="utf-8")
_CONTROLS = frozenset(
    {
        "button", "checkbox", "combobox", "link", "listbox", "menuitem", "option", "radio", "searchbox", "slider",
        "spinbutton", "switch", "tab", "textbox",
    }
)  # fmt: skip


def audit(page: Page, check: str, *arguments: Any) -> list[str]:
    """Run one check of audit.js on what is to be seen now; gives one line a finding."""
    return page.evaluate(f"(args) => {{ {_SCRIPT}\n return {check}(...args) }}", list(arguments))


def unnamed_controls(page: Page) -> list[str]:
    """Controls for which the browser itself (its accessibility tree) knows no name."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = list(_unnamed(nodes))
    markup = [session.send("DOM.describeNode", {"backendNodeId": number})["node"] for _, number in found]
    session.detach()
    return [
        f"{role} without a name: {node['localName']} {node.get('attributes')}"
        for (role, _), node in zip(found, markup, strict=True)
    ]


def _unnamed(nodes: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    for node in nodes:
        role = node.get("role", {}).get("value")
        if not node.get("ignored") and role in _CONTROLS and not node.get("name", {}).get("value", "").strip():
            yield role, node["backendDOMNodeId"]
