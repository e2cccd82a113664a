"""Loaded by the Python of an app under test: writes down each look-up and each heavy import, by process."""

import os
import sys

_FILE = os.environ["NEWBIE_WATCH_FILE"]
_HEAVY = frozenset(
    {"torch", "transformers", "tokenizers", "diffusers", "peft", "accelerate", "matplotlib", "PIL.Image"}
)
_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.connect"})


def _note(event: str, what: object) -> None:
    with open(_FILE, "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\t{event}\t{what}\n")


def _watch(event: str, args: tuple) -> None:
    if event == "import" and args[0] in _HEAVY:
        _note(event, args[0])
    elif event in _LOOKUPS:
        target = args[1] if event == "socket.connect" else args[0]
        _note(event, target[0] if isinstance(target, tuple) else target)


sys.addaudithook(_watch)
