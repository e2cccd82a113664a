#!/bin/sh
# Prepares .venv inside this folder (first start only), then runs the asked command: ./launch.sh demo | test
# Only looks for a fitting Python; everything else is in newbie_gui/bootstrap.py.
set -u
here=$(readlink -f -- "$0" 2>/dev/null) || here=$0
cd -- "$(dirname -- "$here")" || exit 1
unset PYTHONPATH PYTHONHOME

# First choice: in range and able to make a venv. Second: any Python, bootstrap.py then says what is missing.
fits='import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13); import ensurepip, venv'
for try in "$fits" "${fits%; import*}" ''; do
  for python in python3.13 python3.12 python3.11 python3 python; do
    if "$python" -c "$try" >/dev/null 2>&1; then
      exec "$python" newbie_gui/bootstrap.py "$@"
    fi
  done
done
echo "Python 3.11, 3.12 or 3.13 is needed, and no Python was found." >&2
echo "On Debian/Ubuntu: sudo apt install python3.12 python3.12-venv, or where the system has no such package:" >&2
echo "uv (uv python install 3.12), pyenv (pyenv install 3.12), or https://www.python.org/downloads/" >&2
exit 1
