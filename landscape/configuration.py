"""``landscape.toml``: the environment variables of this project, written in a file.

Looked for in the current folder. Its keys are the variables without ``LANDSCAPE_``, in small letters: ``home``,
``data``, ``max_grid`` ... A variable that is set in the environment wins.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path

from landscape.errors import BadInput, unknown

KEYS = ("home", "data", "roots", "factories", "scheduler", "max_grid", "max_data_bytes", "max_file", "engine_idle",
        "open", "hosts", "users", "quota_runs", "quota_bytes", "quota_uploads", "max_upload", "way", "ask_above", "spread",
        "weights")
LISTS = {"roots": ":", "factories": ",", "hosts": ",", "users": ","}
SPREADING = ("alike", "any", "off")
ASIDE = ("home", "engine_idle", "scheduler", "hosts", "users", "max_upload", "ask_above")  # what an engine need not agree on


def fingerprint(scheduler: str | None = None) -> str:
    """Of all that a process here would allow and find: the variables, the folder it stands in, Python's path."""
    spreading()  # a wrong word is said before an engine starts with it
    obeyed = {key: os.environ.get(f"LANDSCAPE_{key.upper()}") for key in KEYS if key not in ASIDE}
    obeyed |= {"recipes": os.environ.get("LANDSCAPE_RECIPES"), "path": os.environ.get("PYTHONPATH"), "folder": os.getcwd(),
               "scheduler": scheduler or os.environ.get("LANDSCAPE_SCHEDULER") or None}
    return hashlib.sha256(json.dumps(obeyed, sort_keys=True).encode()).hexdigest()


def spreading() -> str:
    """Which other workers of a scheduler help with a job: ``alike`` (whose results have equal bits), ``any``, or ``off``."""
    found = os.environ.get("LANDSCAPE_SPREAD") or SPREADING[0]
    if found not in SPREADING:
        raise unknown("choice for LANDSCAPE_SPREAD", found, SPREADING)
    return found


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
