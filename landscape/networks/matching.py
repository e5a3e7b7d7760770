"""Which tensor of a checkpoint is which parameter of a module: by name, by prefix, or by the order of the shapes."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from landscape.errors import BadInput

Shape = tuple[int, ...]
COUNTER = "num_batches_tracked"
_ORDER = ("weight", "bias", "running_mean", "running_var", COUNTER)


@dataclass(frozen=True, eq=False)
class Match:
    """The weights of a file as a module wants them.

    ``w`` (P,) in ``module.parameters()`` order and ``buffers`` as ``Net.buffers`` names them, converted to the module's
    dtypes; what the file lacks or has in another shape keeps the module's own values, and is listed: ``missing`` and
    ``unexpected`` are {name: shape}, ``mismatched`` {name: (shape in the file, shape in the module)}, ``nearest`` {missing
    name: the unexpected name most like it}. ``notes`` say how names were matched.
    """

    w: Tensor
    buffers: dict[str, Tensor]
    missing: dict[str, Shape]
    unexpected: dict[str, Shape]
    mismatched: dict[str, tuple[Shape, Shape]]
    nearest: dict[str, str]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every parameter and buffer came from the file."""
        return not self.missing and not self.mismatched


def match(module: nn.Module, tensors: Mapping[str, Tensor]) -> Match:
    """Match a checkpoint's tensors with a module, which is left as it is.

    Tied weights may stand in the file under any of their names; a missing ``num_batches_tracked`` is tolerated, buffers
    that ``state_dict`` does not hold are not looked for. Raises BadInput for a module with uninitialised (lazy) parameters.
    """
    slots = _slots(module)
    names, notes = _found_names(slots, tensors)
    given = {mine: tensors[theirs] for mine, theirs in names.items()}
    taken: dict[str, Tensor] = {}
    missing: dict[str, Shape] = {}
    mismatched: dict[str, tuple[Shape, Shape]] = {}
    for slot in slots:
        if not slot.kept:
            continue
        own = [given[alias] for alias in slot.names if alias in given]
        if not own:
            if slot.wanted:
                missing[slot.names[0]] = tuple(slot.value.shape)
            continue
        if any(other.data_ptr() != own[0].data_ptr() and not torch.equal(own[0], other) for other in own[1:]):
            notes.append(f"{' and '.join(slot.names)} are one tensor in the module, but differ in the file; "
                         f"{slot.names[0]} was used.")
        if not _fits(own[0], slot.value):
            mismatched[slot.names[0]] = (tuple(own[0].shape), tuple(slot.value.shape))
        else:
            taken[slot.names[0]] = own[0].detach().to(slot.value.device, slot.value.dtype).reshape(slot.value.shape)
    used = set(names.values())
    skipped = [name for slot in slots if not slot.kept for name in slot.names if name in tensors and name not in used]
    if skipped:
        notes.append(f"Ignored, because the network makes them itself: {', '.join(skipped[:5])}.")
        used |= set(skipped)
    unexpected = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name not in used}
    values = {slot.names[0]: taken.get(slot.names[0], slot.value) for slot in slots}
    weights = [values[slot.names[0]].reshape(-1) for slot in slots if slot.parameter]
    return Match(
        torch.cat(weights) if weights else torch.empty(0),
        {slot.names[0]: values[slot.names[0]].clone() for slot in slots if not slot.parameter},
        missing, unexpected, mismatched, _nearest(missing, unexpected), tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Slot:
    """One tensor of the module under all its names; ``kept`` if ``state_dict`` holds it."""

    names: tuple[str, ...]
    value: Tensor
    parameter: bool
    kept: bool

    @property
    def wanted(self) -> bool:
        """Whether the file must have it."""
        return self.kept and not self.names[0].endswith(COUNTER)


def _slots(module: nn.Module) -> list[_Slot]:
    saved = _persistent(module)
    slots = []
    for parameter, named in ((True, module.named_parameters), (False, module.named_buffers)):
        aliases: dict[int, list[str]] = {}
        values: dict[int, Tensor] = {}
        for name, tensor in named(remove_duplicate=False):
            if nn.parameter.is_lazy(tensor):
                raise BadInput(f"The network's {name} has no shape yet (a lazy layer). Let the factory call the network "
                               "once on an example before it returns it.")
            aliases.setdefault(id(tensor), []).append(name)
            values[id(tensor)] = tensor.detach()
        for key, names in aliases.items():
            slots.append(_Slot(tuple(names), values[key], parameter, parameter or any(name in saved for name in names)))
    return slots


def _persistent(module: nn.Module) -> set[str]:
    """Names of the buffers that ``state_dict`` would hold."""
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules(remove_duplicate=False)
        for name, buffer in child._buffers.items()
        if buffer is not None and name not in child._non_persistent_buffers_set
    }


def _found_names(slots: list[_Slot], tensors: Mapping[str, Tensor]) -> tuple[dict[str, str], list[str]]:
    """{name in the module: name in the file}, and how they were found."""
    by_name = _by_name(slots, tensors)
    if all(any(alias in by_name for alias in slot.names) for slot in slots if slot.wanted):
        return by_name, []
    prefixed, said = _by_prefix(slots, tensors)
    if _agreeing(slots, tensors, prefixed) > _agreeing(slots, tensors, by_name):
        by_name, notes = prefixed, [said]
        if all(any(alias in by_name for alias in slot.names) for slot in slots if slot.wanted):
            return by_name, notes
    else:
        notes = []
    ordered = _by_order(slots, tensors)
    if ordered and all(ordered.get(mine, theirs) == theirs for mine, theirs in by_name.items()):
        mine, theirs = next((pair for pair in ordered.items() if pair[0] != pair[1]), next(iter(ordered.items())))
        return ordered, ["The names differ, but the shapes follow one another in the same order; tensors were matched in "
                         f"that order ({theirs} is {mine}, ...). Check the loss: layers of equal shape may be swapped."]
    return by_name, notes


def _by_name(slots: Iterable[_Slot], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: name for slot in slots if slot.kept for name in slot.names if name in tensors}


def _by_prefix(slots: list[_Slot], tensors: Mapping[str, Tensor]) -> tuple[dict[str, str], str]:
    """The renaming of the form ``a.NAME`` -> ``b.NAME`` that makes most names and shapes agree."""
    mine = [name for slot in slots if slot.kept for name in slot.names]
    best: dict[str, str] = {}
    said, score = "", 0
    for head, other in _renamings(mine, tensors):
        names = {name: other + name.removeprefix(head) for name in mine
                 if name.startswith(head) and other + name.removeprefix(head) in tensors}
        agreeing = _agreeing(slots, tensors, names)
        if agreeing > score:
            best, score = names, agreeing
            said = f"Names were matched with {other!r} in the file for {head!r} in the network."
    return best, said


def _renamings(mine: list[str], theirs: Iterable[str], tried: int = 8) -> list[tuple[str, str]]:
    """The commonest pairs of what stands before a common ending of two names."""
    endings: dict[tuple[str, ...], list[list[str]]] = {}
    for name in theirs:
        endings.setdefault(tuple(name.split(".")[-2:]), []).append(name.split("."))
    pairs: Counter[tuple[str, str]] = Counter()
    for name in mine[:: 1 + len(mine) // 64]:
        for other in endings.get(tuple(name.split(".")[-2:]), [])[:200]:
            left, right = name.split("."), list(other)
            while left and right and left[-1] == right[-1]:
                left.pop(), right.pop()
            pairs["".join(f"{part}." for part in left), "".join(f"{part}." for part in right)] += 1
    return [pair for pair, _ in pairs.most_common(tried) if pair[0] != pair[1]]


def _agreeing(slots: Iterable[_Slot], tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> int:
    return sum(any(alias in names and _fits(tensors[names[alias]], slot.value) for alias in slot.names) for slot in slots)


def _by_order(slots: list[_Slot], tensors: Mapping[str, Tensor]) -> dict[str, str] | None:
    """Names paired one by one where the shapes follow one another alike; a tied tensor may stand once or as often."""
    theirs = [name for name in tensors if not name.endswith(COUNTER)]
    wanted = [slot for slot in slots if slot.wanted]
    for every_alias in (False, True):
        mine = {alias: slot for slot in wanted for alias in (slot.names if every_alias else slot.names[:1])}
        for order in (list, in_module_order):
            left, right = order(_interleaved(mine)), order(theirs)
            if len(left) == len(right) and all(
                _fits(tensors[b], mine[a].value) for a, b in zip(left, right, strict=True)
            ):
                return _with_counters(dict(zip(left, right, strict=True)), tensors)
    return None


def _with_counters(names: dict[str, str], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    counters = {mine.replace("running_mean", COUNTER): theirs.replace("running_mean", COUNTER)
                for mine, theirs in names.items() if mine.endswith("running_mean")}
    return names | {mine: theirs for mine, theirs in counters.items() if theirs in tensors}


def _interleaved(mine: Mapping[str, _Slot]) -> list[str]:
    """Parameters and buffers as ``state_dict`` mixes them: a layer's buffers behind its parameters."""
    layers: dict[str, list[str]] = {}
    for name in mine:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    return [name for names in layers.values() for name in names]


def in_module_order(names: Iterable[str]) -> list[str]:
    """Names sorted as layers follow one another: numbers by value, weight before bias before statistics.

    For files whose own order is alphabetic (safetensors and npz often are).
    """
    def rank(name: str) -> tuple:
        layer, _, last = name.rpartition(".")
        parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|[^\d]+", layer)]
        return parts, _ORDER.index(last) if last in _ORDER else len(_ORDER), last
    return sorted(names, key=rank)


def _fits(theirs: Tensor, mine: Tensor) -> bool:
    same = theirs.shape == mine.shape or (theirs.numel() == mine.numel() == 1)
    return same and (mine.is_complex() or not theirs.is_complex())


def _nearest(missing: Mapping[str, Shape], unexpected: Mapping[str, Shape]) -> dict[str, str]:
    found = {}
    for name, shape in list(missing.items())[:30]:
        alike = [other for other, theirs in unexpected.items() if theirs == shape][:200]
        near = difflib.get_close_matches(name, alike or list(unexpected)[:200], n=1, cutoff=0.5)
        if near:
            found[name] = near[0]
    return found
