"""First Python file that launch.sh and launch.bat run: checks the interpreter, then hands over to `launcher`.

This one file must stay readable for every Python a person may have lying around (2.7 included), or they
would see a SyntaxError instead of the sentence that helps: no annotations, no f-strings, no packages.
"""

import os
import sys

OLDEST = (3, 11)
NEWEST = (3, 13)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def advice(windows):
    """Return where to get a fitting Python."""
    if windows:
        return "Get one: py install 3.13, or https://www.python.org/downloads/release/python-3139/"
    return (
        "Get one: sudo apt install python3.12 python3.12-venv (Debian/Ubuntu), or where the system has no such "
        "package: uv python install 3.12, pyenv install 3.12, or https://www.python.org/downloads/"
    )


def refusal(version, bits):
    """Return why an interpreter cannot be used, or None. `version`: (major, minor, ...); `bits`: 32 or 64."""
    where = advice(os.name == "nt")
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        found = ".".join(str(part) for part in version[:3])
        return "Python 3.11, 3.12 or 3.13 is needed, but this is Python %s (%s). %s" % (
            found,
            sys.executable,
            where,
        )
    if bits != 64:
        return "A 64-bit Python is needed (PyTorch has no 32-bit build), but %s is 32-bit. %s" % (
            sys.executable,
            where,
        )
    return None


def main(arguments):
    """Run one launch.sh command and return its exit code; 1 with a clear sentence on an unsuitable Python."""
    problem = refusal(sys.version_info, 64 if sys.maxsize > 2**32 else 32)
    if problem:
        sys.stderr.write(problem + "\n")
        return 1
    from newbie_gui import launcher

    return launcher.main(ROOT, arguments)


if __name__ == "__main__":
    # Started as a script, this file's own folder comes first on the path, where a module of ours
    # could hide one of the standard library.
    sys.path[0] = ROOT
    sys.exit(main(sys.argv[1:]))
