"""Starts the browser UI: workspace, token, one uvicorn server, the browser."""

import errno
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from newbie_gui.security import AccessRules, Guard, allowed_hosts
from newbie_gui.texts import Lang
from newbie_gui.token import start_token
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import lock_now
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.spawn import SET_HERE

USUAL_PORT = 7860
# How long a second start waits for the first one's page: Gradio takes seconds to import.
_STARTING_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line of app.py sets; meanings as its help has them."""

    host: str
    # None: the usual one, or the next free one after it.
    port: int | None
    open_browser: bool
    workspace: Path
    lang: Lang | None


def quiet_environment() -> None:
    """Keep Gradio and the hub's libraries from calling home; only before they are imported: they read this once."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        # GRADIO_SHARE, GRADIO_ALLOWED_PATHS, GRADIO_MCP_SERVER...: what they switch on is not offered here.
        del os.environ[name]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ[name] = "1"
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if name not in os.environ:
            # For this process alone: a job goes by what it is for, and by the person's own choice.
            os.environ[name] = "1"
            os.environ[SET_HERE] = f"{os.environ.get(SET_HERE, '')} {name}"


def serve(options: Options) -> int:
    """Run until the server is stopped (Ctrl+C, SIGTERM); returns the exit code."""
    workspace = Workspace(options.workspace.resolve())
    try:
        workspace.create()
        token = start_token(workspace.private)
    except (OSError, UserError) as error:
        return _refuse(str(error), getattr(error, "hints", ["Choose another folder with --workspace."]))
    with open(workspace.private / ".lock", "ab") as lock:
        if not lock_now(lock):
            return _open_the_other(workspace, options)
        # Left by a page that was killed: no other start may take it for ours while we are still starting.
        (workspace.private / "address").unlink(missing_ok=True)
        try:
            listener = _first_listener(options.host, options.port)
        except OSError as error:
            port = USUAL_PORT if options.port is None else options.port
            # Python adds the address, which is said already.
            words = (error.strerror or "").partition(" (while attempting")[0]
            return _refuse(f"{options.host}, port {port} cannot be used: {words}.", [_listening_hint(error)])
        quiet_environment()
        os.environ["GRADIO_TEMP_DIR"] = str(workspace.uploads)
        with listener:
            _run(options, workspace, listener, token)
    return 0


def _run(options: Options, workspace: Workspace, listener: socket.socket, token: str) -> None:
    # Gradio takes seconds to import: whatever can be refused was refused before.
    import uvicorn

    from newbie_gui.services import make_services
    from newbie_gui.web import build_app

    services = make_services(workspace)
    app = build_app(services, options.lang)
    port = listener.getsockname()[1]
    address = f"http://{_shown_host(options.host)}:{port}/?token={token}"
    with _address_kept(workspace, address):
        # Shown on the console only, never in a file that others may read: whoever has it can use the trainer.
        print(f"Newbie LoRA Trainer is ready: {address}", flush=True)
        names = _names(options.host)
        for sentence in _warnings(names, port):
            print(sentence, flush=True)
        if options.open_browser:
            # Some browsers are waited for to their end, and they wait for an answer that is given only below.
            threading.Thread(target=_open_browser, args=(address,), daemon=True).start()
        services.queue.ensure_worker()
        rules = AccessRules(token=token, hosts=allowed_hosts(options.host, names))
        # Open pages hold no connection, so nothing has to be waited for at the end.
        config = uvicorn.Config(
            Guard(app, rules), log_level="warning", access_log=False, proxy_headers=False, server_header=False,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _address_kept(workspace: Workspace, address: str) -> Iterator[None]:
    """A second start finds the first one's address, token and all, in a file of the owner's alone."""
    file = workspace.private / "address"
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(address, encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _open_the_other(workspace: Workspace, options: Options) -> int:
    """A second double click shows the page of the first, which may still be starting."""
    deadline = time.monotonic() + _STARTING_S
    while not (address := _kept_address(workspace)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if not address:
        return _refuse(f"The trainer is just starting or ending in {workspace.root}.", ["Try again in a moment."])
    print(f"The trainer is already running in {workspace.root}: {address}", flush=True)
    if options.open_browser:
        _open_browser(address)
    return 0


def _kept_address(workspace: Workspace) -> str:
    """The running page's address, "" while there is none."""
    try:
        return (workspace.private / "address").read_text(encoding="utf-8")
    except OSError:
        return ""


def _open_browser(address: str) -> None:
    """Not where there is no screen: a text browser would take over the terminal, and cannot show the page."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if os.name == "nt" or sys.platform == "darwin" or any(os.environ.get(name) for name in screens):
        webbrowser.open(address)


def _refuse(reason: str, hints: Sequence[str]) -> int:
    print(f"error: {reason}", file=sys.stderr)
    for hint in hints:
        print(f"  - {hint}", file=sys.stderr)
    return 1


def _names(host: str) -> tuple[str, ...]:
    """By which names and addresses browsers may call: this machine's own where it listens on all of them.

    An address of ours is safe to allow: a foreign page that is led here by its own name (DNS rebinding) carries that.
    """
    if host not in ("0.0.0.0", "::"):
        return ()
    families = (socket.AF_INET, socket.AF_INET6)
    cards = psutil.net_if_addrs().values()
    found = {card.address.split("%")[0] for cards_of in cards for card in cards_of if card.family in families}
    return (socket.gethostname(), *sorted(found))


def _warnings(names: Sequence[str], port: int) -> Iterator[str]:
    if not names:
        return
    yield "WARNING: other machines of your network can reach this page, with the token in the address above."
    yield "It travels as plain HTTP, readable on the network. Safer: keep the default --host and use"
    yield f"  ssh -L {port}:127.0.0.1:{port} THIS-MACHINE"
    yield f"Allowed names and addresses: {', '.join(names)}"


def _first_listener(host: str, port: int | None) -> socket.socket:
    """Listen on the port, or (None) on the usual one, or on the next free one after that, and say so.

    Raises OSError as `_listen`.
    """
    if port is not None:
        return _listen(host, port)
    port, last = USUAL_PORT, USUAL_PORT + 19
    while True:
        try:
            listener = _listen(host, port)
            break
        except OSError as error:
            if port == last or not _taken(error):
                raise
            port += 1
    if port != USUAL_PORT:
        print(f"Another program has port {USUAL_PORT}: this page takes {port}.", flush=True)
    return listener


def _taken(error: OSError) -> bool:
    """Whether another program has the port; Windows says EACCES where that one wants it for itself."""
    return error.errno == errno.EADDRINUSE or (os.name == "nt" and error.errno == errno.EACCES)


def _listening_hint(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "No machine of this name is known: give --host a name or an address of this machine."
    if error.errno == errno.EADDRNOTAVAIL:
        return "--host must be an address of this machine."
    if _taken(error):
        return "Another program has the port: choose another one with --port, or leave --port out."
    return "Choose another --host or --port; ports below 1024 are the administrator's on many systems."


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that the port is ours before anything is built. Raises OSError: what is in the way."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Here an unknown name is a gaierror; below it would be an OSError like any other.
    socket.getaddrinfo(host, port, family)
    # On Windows "::" alone would not answer to the 127.0.0.1 that the browser is opened with.
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=both)


def _shown_host(host: str) -> str:
    """An address that a browser on this machine can open."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
