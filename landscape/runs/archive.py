"""Runs as plain folders: exports, and the gallery that is shipped.

A folder holds ``run.json`` (the run and the shape of its results), ``results.npz`` (their arrays, named
``RESULT/...``) and ``weights/*.safetensors``; all runs it was made from, and those these were made from, lie in
``parents/KEY`` in the same form.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from landscape.errors import BadInput
from landscape.results import pack, unpack
from landscape.runs import weights
from landscape.runs.records import Run

FORMAT = 1
PREFIX = "gallery-"


def export(library, key: str, to: Path) -> Path:
    """Write the run ``key`` of a Library and everything it was made from to the folder (or ``.zip``) ``to``.

    Raises BadInput if something is there already, or the run has saved nothing yet.
    """
    run = library.run(key)
    if to.exists():
        raise BadInput(f"{to} exists already. Choose another place with --out, or move it away.")
    if not library.names(run.key):
        raise BadInput(f"Run {run.key} has no results yet: it is {run.status}.")
    folder = to.with_name(f".{to.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _write(library, run, folder)
        for parent in library.lineage(run.key):
            if parent != run.key:
                _write(library, library.run(parent), folder / "parents" / parent.removeprefix(PREFIX))
        if to.suffix == ".zip":
            _zip(folder, to)
        else:
            folder.replace(to)
    except OSError as error:
        raise BadInput(f"{to} cannot be written: {error.strerror or error}. Choose another place with --out.") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return to


def _write(library, run: Run, folder: Path) -> None:
    (folder / "weights").mkdir(parents=True)
    metas, arrays = {}, {}
    for name in library.names(run.key):
        meta, own = pack(library.result(run.key, name))
        metas[name] = meta
        arrays |= {f"{name}/{path}": array for path, array in own.items()}
    np.savez_compressed(folder / "results.npz", **arrays)
    for name in library.weight_names(run.key):
        if name.startswith(weights.STATE):
            continue
        (folder / "weights" / f"{name}.safetensors").write_bytes(library.weights_file(run.key, name))
    described = dataclasses.asdict(
        dataclasses.replace(
            run,
            key=run.key.removeprefix(PREFIX),
            read_only=False,
            parents=tuple(parent.removeprefix(PREFIX) for parent in run.parents),
        )
    )
    (folder / "run.json").write_text(json.dumps({"format": FORMAT, "run": described, "results": metas}, indent=1))


def _zip(folder: Path, to: Path) -> None:
    partial = to.with_name(f".{to.name}.zipping")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, Path(to.stem) / path.relative_to(folder))
    partial.replace(to)


class Gallery:
    """The exported runs found anywhere under a folder, read-only. Their keys begin with ``gallery-``."""

    def __init__(self, root: Path | None):
        self._entries: dict[str, tuple[Run, Path, dict]] = {}
        for file in sorted(root.rglob("run.json")) if root and root.is_dir() else []:
            status = file.stat()
            run, metas = _read(file, status.st_mtime_ns, status.st_size)
            self._entries.setdefault(run.key, (run, file.parent, metas))

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def runs(self, children: bool = False) -> list[Run]:
        return [run for run, folder, _ in self._entries.values() if children or folder.parent.name != "parents"]

    def folder(self, key: str) -> Path:
        return self._entries[key][1]

    def names(self, key: str) -> list[str]:
        return sorted(self._entries[key][2])

    def result(self, key: str, name: str):
        _, folder, metas = self._entries[key]
        if name not in metas:
            return None
        with np.load(folder / "results.npz", allow_pickle=False) as file:
            start = f"{name}/"
            own = {member.removeprefix(start): file[member] for member in file.files if member.startswith(start)}
        return unpack(metas[name], own)

    def weight_names(self, key: str) -> list[str]:
        return sorted(file.stem for file in (self.folder(key) / "weights").glob("*.safetensors"))

    def size(self, key: str) -> int:
        folder = self.folder(key)
        own = [folder / "run.json", folder / "results.npz", *(folder / "weights").glob("*")]
        return sum(file.stat().st_size for file in own)


@lru_cache(maxsize=256)
def _read(file: Path, changed: int, size: int) -> tuple[Run, dict]:
    """The run and what its results are; read again only when the file has changed."""
    try:
        described = json.loads(file.read_text())
        if described["format"] != FORMAT:
            raise BadInput(f"{file} has format {described['format']}, expected {FORMAT}: export the run again.")
        fields = described["run"]
        fields |= {
            "key": PREFIX + fields["key"],
            "parents": tuple(PREFIX + key for key in fields["parents"]),
            "read_only": True,
        }
        return Run(**fields), described["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{file} is not an exported run ({type(error).__name__}: {error}).") from None


def write_new(path: Path, content: str | bytes) -> Path:
    """Write a file that is not there yet. Raises BadInput if it is, or cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except FileExistsError:
        raise BadInput(f"{path} exists already. Choose another place with --out, or move it away.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}. Choose another place with --out.") from None
    return path
