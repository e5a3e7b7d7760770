"""The files of a run: read one at a time, held against the digest they were asked for with, matched with a network."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from landscape.errors import BadInput
from landscape.networks.checkpoints import read
from landscape.networks.matching import Match, match
from landscape.networks.roots import allowed, opened
from landscape.runs import uploads
from landscape.runs.home import home_of
from landscape.settings_inspect import CHUNK, KEPT, Inspect

MEMORY = 2**30  # bytes of weights that are kept; above, files are read again when they are needed
FEWEST = 2  # networks that are kept however large they are: a line needs both its ends


@dataclass(frozen=True, eq=False)
class Contents:
    """Named tensors of one file, sentences on how it was read, its bytes."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    size: int


def own_folders() -> tuple[Path, ...]:
    """Folders of this program that may be read besides the roots: what pages were given."""
    return (home_of() / uploads.FOLDER,)


def contents(file: str, digest: str, reader, check: bool = True) -> Contents:
    """What a file of the settings holds. ``reader`` reaches other runs, for networks that were kept.

    Raises BadInput for a file that may not be read, is no checkpoint, or has changed since it was asked for.
    """
    if file.startswith(KEPT):
        found = reader.other(file.removeprefix(KEPT)).load_weights("network")
        if found is None:
            raise BadInput(f"Run {file.removeprefix(KEPT)} holds no kept network. Keep one first, or give a file.")
        tensors = {name: torch.tensor(array) for name, array in found.items()}
        return Contents(tensors, (), sum(t.numel() * t.element_size() for t in tensors.values()))
    path = allowed(Path.cwd() / file, own_folders())
    if check and _digest(path) != digest:
        raise BadInput(f"{path.name} has changed since it was asked for. Ask again to open it as it is now.")
    found = read(path)
    return Contents(found.tensors, found.notes, found.size)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def short_names(files: Sequence[str]) -> tuple[str, ...]:
    """A name for each file: its own, with as many folders before it as it takes for all to differ."""
    parts = [Path(file).parts for file in files]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(files)


class Family(Sequence):
    """The weights (P,) of some of the files, in their order, each read when it is asked for and kept while there is room."""

    def __init__(self, s: Inspect, module: nn.Module, reader, indices: Sequence[int], memory: int = MEMORY):
        self.s, self.module, self.reader, self.indices = s, module, reader, tuple(indices)
        names = short_names(s.files)
        self.names = tuple(names[i] for i in self.indices)
        self._memory, self._kept = memory, OrderedDict()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> Tensor:
        if not -len(self) <= k < len(self):
            raise IndexError(k)
        return self.matched(k % len(self)).w

    def matched(self, k: int) -> Match:
        """Weights and buffers of network k."""
        i = self.indices[k]
        if i not in self._kept:
            found = contents(self.s.files[i], self.s.digests[i], self.reader, check=False)
            self.put(i, match(self.module, found.tensors))
        self._kept.move_to_end(i)
        return self._kept[i]

    def put(self, i: int, found: Match) -> None:
        """Keep what was read of file i, as long as there is room; the longest unused go first."""
        self._kept[i] = found
        each = max(1, found.w.numel() * found.w.element_size())
        while len(self._kept) > max(FEWEST, self._memory // each):
            self._kept.popitem(last=False)

    def only(self, indices: Sequence[int]) -> Family:
        """The same files, of which only some count; what was read is shared."""
        chosen = Family(self.s, self.module, self.reader, indices, self._memory)
        chosen._kept = self._kept
        return chosen

    @property
    def bytes(self) -> int:
        """Memory the kept weights may come to."""
        each = sum(p.numel() * p.element_size() for p in self.module.parameters())
        return min(max(FEWEST * each, self._memory), len(self) * each)
