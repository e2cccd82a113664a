"""Starts the browser UI: python app.py [--host H] [--port P] [--no-open] [--workspace FOLDER] [--lang en|zh]"""

import argparse
from pathlib import Path

from trainer_core.contracts.start import NEEDED, start

_WORKSPACE = Path(__file__).resolve().parent / "workspace"


def main() -> int:
    """Parse the command line and serve until stopped; returns the exit code."""
    from newbie_gui.server import USUAL_PORT, Options, serve
    from newbie_gui.texts import LANGS

    parser = argparse.ArgumentParser(prog="app.py", description="Newbie LoRA Trainer in the browser.")
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only). Another one, such as 0.0.0.0, opens the "
        "trainer to your network: whoever has the address with its token can use it, and plain HTTP can be read on "
        "the way.",
    )  # fmt: skip
    parser.add_argument(
        "--port",
        type=_port,
        help=f"TCP port, 0 for any free one (default: {USUAL_PORT}, or the next free one after it)",
    )
    parser.add_argument(
        "--open", dest="open_browser", action=argparse.BooleanOptionalAction, default=True,
        help="open the browser (default: yes)",
    )  # fmt: skip
    parser.add_argument(
        "--workspace", type=Path, default=_WORKSPACE,
        help="folder for data sets, runs, models and all else (default: workspace beside app.py)",
    )  # fmt: skip
    parser.add_argument("--lang", choices=LANGS, help="language of the page (default: the browser's)")
    return serve(Options(**vars(parser.parse_args())))


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return port


if __name__ == "__main__":
    closed = "The page is closed. What runs or waits in the queue goes on."
    start(main, needs=(*NEEDED, "gradio"), interrupted=closed, code=0)
