"""Reads every picture of a folder in a process of its own: `python picture_reader.py FOLDER`.

One JSON line a file: name, outcome ("taken" or what refused it), error (the text), seconds of computing; the last
line holds peak_mib, how much the process grew.
"""

import json
import resource
import sys
import time
from pathlib import Path

from trainer_core.dataset.images import ImageProblem, load_rgb, read_header


def read(path: Path) -> tuple[str, str]:
    try:
        size = read_header(path).size
        image = load_rgb(path)
    except ImageProblem as problem:
        return problem.kind, problem.message
    # Sizes may differ where damaged EXIF turns one of them; both were read without harm.
    return ("taken", "") if image.mode == "RGB" and sorted(size) == sorted(image.size) else ("differs", str(size))


def main() -> None:
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = peak()
    for path in sorted(Path(sys.argv[1]).iterdir()):
        # Before it is read, so that the last line names the file that killed the process.
        print(json.dumps({"reading": path.name}), flush=True)
        started = time.process_time()
        outcome, error = read(path)
        seconds = time.process_time() - started
        print(json.dumps({"name": path.name, "outcome": outcome, "error": error, "seconds": seconds}), flush=True)
    print(json.dumps({"peak_mib": (peak() - before) / 1024}))


if __name__ == "__main__":
    main()
