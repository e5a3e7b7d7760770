"""All errors a user can meet. Each message says what was expected, what was found and what to do."""

from __future__ import annotations

import difflib
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

# What zipfile and numpy raise for an archive that is damaged or was made to harm.
UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError,
              UnicodeDecodeError, struct.error, tokenize.TokenError)


class LandscapeError(Exception):
    """Something the user can act on; shown as its message, without a traceback."""


class BadInput(LandscapeError, ValueError):
    """A setting, a name or a file is not usable."""


class Cancelled(LandscapeError):
    """The job was asked to stop; everything saved so far is kept."""


class Diverged(LandscapeError):
    """Training left the finite numbers; the message names which network and when."""


class StoreError(LandscapeError):
    """The store cannot be read or written as asked."""


class Damaged(StoreError):
    """Something stored is not there any more, or is not what was written."""


def unknown(kind: str, name: str, choices: Iterable[str]) -> BadInput:
    """The error for a name that does not exist, with the nearest name that does."""
    choices = sorted(map(str, choices))
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return BadInput(f"There is no {kind} {name!r}.{hint} Choose one of: {', '.join(choices)}.")
