"""The runs of a library in the words of the store: what a ``Reader`` asks for, where nothing is to be written."""

from __future__ import annotations

from typing import Any

from landscape.runs.library import Library
from landscape.runs.records import encode


class Shelf:
    """The reading methods of ``Store`` over a ``Library``: for runs of the gallery too, and beside a writer at work."""

    def __init__(self, library: Library):
        self.library = library

    def describe(self, key: str) -> dict[str, Any]:
        run = self.library.run(key)
        return {"recipe": run.recipe, "settings": run.settings, "status": run.status, "parents": list(run.parents)}

    def load(self, key: str, name: str) -> dict[str, Any] | None:
        result = self.library.result(key, name)
        return None if result is None else dict(zip(("meta", "arrays"), encode(result), strict=True))

    def load_weights(self, key: str, name: str) -> bytes | None:
        return self.library.weights_file(key, name) if name in self.library.weight_names(key) else None
