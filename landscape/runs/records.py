"""What a run is called and what is known about it."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape import catalog
from landscape.errors import BadInput
from landscape.results import pack, unpack
from landscape.settings import Settings, parse

UNFINISHED = ("queued", "running")


@dataclass(frozen=True)
class Run:
    """One computation: a recipe, its settings and what became of it. Times are seconds since 1970.

    ``status`` is ``queued``, ``running``, ``done``, ``cancelled`` or ``failed``; ``message`` says why it is not done.
    ``parents`` are the keys of the runs it was made from. ``read_only`` runs belong to the gallery.
    """

    key: str
    recipe: str
    title: str
    settings: dict[str, Any]
    parents: tuple[str, ...]
    status: str
    message: str
    created: float
    started: float | None
    finished: float | None
    cpu_seconds: float
    read_only: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``stage`` is the name of the one at work (``starting`` before the first),
    ``stages`` are ``{"name", "share", "done"}`` with shares that sum to one and ``done`` in [0, 1].

    ``eta_seconds`` is None until something has been measured. ``detail`` is what the stage said of itself last.
    """

    stage: str
    stages: list[dict[str, Any]]
    fraction: float
    eta_seconds: float | None
    detail: dict[str, Any]
    updated: float


@dataclass(frozen=True)
class Identity:
    """A recipe with complete settings, the key and the title that follow from them."""

    recipe: str
    settings: Settings
    key: str
    title: str

    def row(self) -> dict[str, Any]:
        """As the store wants it."""
        return {"recipe": self.recipe, "settings": self.settings.canonical(), "key": self.key, "title": self.title}


def identify(recipe: str, given: Settings | dict[str, Any]) -> Identity:
    """Validate the settings and name the run. Raises BadInput for an unknown recipe, setting or value."""
    row = catalog.row("recipe", catalog.RECIPES, recipe)
    settings = given if isinstance(given, Settings) else parse(recipe, given)
    task = getattr(settings, "task", None)
    return Identity(recipe, settings, key_of(recipe, settings), f"{row.title} · {task}" if task else row.title)


def key_of(recipe: str, settings: Settings, parents: tuple[str, ...] = ()) -> str:
    """The first 16 hex digits of a SHA-256 over recipe, its version, settings and parents: equal work, equal key.

    A recipe's version is ``defaults["version"]`` of its catalog row, 1 when absent: raise it when its results change. Where
    those of some settings alone change, let their ``revision`` say so; other runs then keep their keys.
    """
    version = catalog.row("recipe", catalog.RECIPES, recipe).defaults.get("version", 1)
    revised = [settings.revision] if settings.revision else []
    text = json.dumps([recipe, version, settings.canonical(), list(parents), *revised])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checked_title(title: str) -> str:
    """A title with single spaces. Raises BadInput unless it has 1 to 200 characters."""
    title = " ".join(title.split())
    if not 1 <= len(title) <= 200:
        raise BadInput(f"A title has 1 to 200 characters, found {len(title)}.")
    return title


def encode(result) -> tuple[str, bytes]:
    """``(meta, arrays)``: JSON text and an uncompressed npz of a ``results`` value."""
    meta, arrays = pack(result)
    for path, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{path} holds Python objects; a result holds numbers, found dtype {array.dtype}")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return json.dumps(meta), buffer.getvalue()


def decode(meta: str, arrays: bytes):
    """The result that ``encode`` took apart."""
    with np.load(io.BytesIO(arrays), allow_pickle=False) as loaded:
        return unpack(json.loads(meta), {path: loaded[path] for path in loaded.files})


def plain(value):
    """``value`` with numpy scalars and arrays as Python numbers and lists, so that it can be written as JSON."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
