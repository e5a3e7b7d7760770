"""``landscape.toml``: the environment variables of this project, written in a file.

Looked for in the current folder. Its keys are the variables without ``LANDSCAPE_``, in small letters: ``home``,
``data``, ``max_grid`` ... A variable that is set in the environment wins.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from landscape.errors import BadInput, unknown

KEYS = ("home", "data", "roots", "factories", "scheduler", "max_grid", "max_data_bytes", "max_file", "engine_idle")
LISTS = {"roots": ":", "factories": ","}


def read(folder: Path | None = None) -> None:
    """Set the variables the file names. Raises BadInput for a file that is no TOML, an unknown key or a wrong value."""
    path = (folder or Path.cwd()) / "landscape.toml"
    if not path.is_file():
        return
    try:
        given = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not a TOML file: {error}.") from None
    for key, value in given.items():
        if key not in KEYS:
            raise unknown(f"key of {path.name}", key, KEYS)
        if key in LISTS and isinstance(value, list):
            value = LISTS[key].join(map(str, value))
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise BadInput(f"{path}: {key} must be text or a whole number, found {value!r}.")
        os.environ.setdefault(f"LANDSCAPE_{key.upper()}", str(value))
