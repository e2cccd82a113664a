"""The secret that opens the browser side: new at every start, or the one a person keeps in a file."""

import os
import re
import secrets
import stat
from pathlib import Path

from trainer_core.contracts.errors import UserError

TOKEN_FILE = "token"
_USABLE = re.compile(r"[A-Za-z0-9_-]{32,200}")


def start_token(private: Path) -> str:
    """Return the token for this start: that of the file ``token`` in ``private``, else a new one of 32 random bytes.

    A new one is never written to disk. The caller hands it to the browser and to nobody else: not to a log.

    Raises:
        UserError: the file is there, but others may read it (``token_file_open``), or it holds no usable
            token or cannot be read (``token_file_unusable``).
    """
    file = private / TOKEN_FILE
    try:
        with open(file, encoding="ascii", errors="replace") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            text = handle.read(1000).strip()
    except FileNotFoundError:
        return secrets.token_urlsafe(32)
    except OSError as error:
        raise UserError(
            "token_file_unusable",
            f"The token file {file} cannot be read: {error.strerror}.",
            ["Delete the file: every start then makes a new token."],
        ) from error
    # Windows has no such bits: there the folder's own rights protect it.
    if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
        raise UserError(
            "token_file_open",
            f"The token file {file} can be read by other users of this machine (mode {stat.S_IMODE(mode):04o}).",
            [f"Make it yours alone: chmod 600 {file}", "Or delete it: every start then makes a new token."],
        )
    if not _USABLE.fullmatch(text):
        raise UserError(
            "token_file_unusable",
            f"The token file {file} must hold one line of 32 to 200 letters, digits, - or _.",
            ["Delete the file: every start then makes a new token."],
        )
    return text
