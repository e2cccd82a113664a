"""Taking out of a text what must not be pasted in public: passwords, tokens, the home folder, the user's name."""

import getpass
import re
from pathlib import Path

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"token|secret|passw|key|auth|credential", re.IGNORECASE)
_SECRETS = (
    # Tokens known by their beginning: Hugging Face, OpenAI, GitHub, GitLab.
    (re.compile(r"\b(?:hf_|sk-|gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{16,}"), HIDDEN),
    # To the last @ before the path: a password may hold one.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(bearer)\s+[\w.~+/-]{8,}=*", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        # The name ends here: keep_tokens and max_gemma_tokens are none of these.
        re.compile(
            r"""\b([\w-]*(?:token|secret|password|passwd|api_?key|wandb_key))(["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;]+)""",
            re.IGNORECASE,
        ),
        rf"\1\2{HIDDEN}",
    ),
)
# Names of accounts, not of people; replacing the word everywhere would only make the text unreadable.
_COMMON_NAMES = frozenset({"root", "user", "users", "home", "admin", "administrator", "ubuntu", "runner"})


def environment_value(name: str, value: str) -> str:
    """The value of an environment variable as it may be shown."""
    return HIDDEN if value and _SECRET_NAME.search(name) else value


def user_names(home: Path | None) -> tuple[str, ...]:
    """What the user is called on this machine; empty where nobody knows or the name says nothing."""
    names = {home.name} if home is not None else set()
    try:
        names.add(getpass.getuser())
    except (ImportError, KeyError, OSError):
        # A container without an entry for its user.
        pass
    return tuple(sorted(name for name in names if len(name) > 2 and name.lower() not in _COMMON_NAMES))


def home_folder() -> Path | None:
    """None where there is none, or where it is the root of the disk."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if len(home.parts) > 1 else None


def scrubbed(text: str, *, home: Path | None, names: tuple[str, ...]) -> str:
    """``text`` with secrets hidden, the home folder as ~ and the user's name as <user>."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    if home is not None:
        for written in _spellings(home):
            text = re.sub(rf"{re.escape(written)}(?![\w.-])", "~", text, flags=re.IGNORECASE)
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "<user>", text, flags=re.IGNORECASE)
    return text


def _spellings(home: Path) -> list[str]:
    """As the system writes it, with slashes, and with the doubled backslashes of quoted text; the longest first."""
    plain = str(home)
    return sorted({plain, plain.replace("\\", "/"), plain.replace("\\", "\\\\"), str(home.resolve())}, key=len)[::-1]
