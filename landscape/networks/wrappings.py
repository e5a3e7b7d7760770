"""Finding the state dict in what a checkpoint holds: wrappings, prefixes, and everything that is no tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from landscape.errors import BadInput, unknown
from landscape.networks.inert import Inert, Stored

WRAPPINGS = ("state_dict", "model_state_dict", "model_state", "model", "network_state_dict", "network", "net_state_dict",
             "net", "module", "weights", "params", "parameters", "swa_state_dict", "model_ema", "ema_state_dict",
             "state_dict_ema", "ema_model", "ema")
WRAPPERS_OF_CODE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # by compile, FSDP, checkpointing
PREFIXES = ("module.", "model.", "network.", "net.")
DEPTH = 4
HOW = "Save the weights alone: torch.save(model.state_dict(), 'weights.pt')."


def unwrapped(name: str, contents: Any, entry: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """The named tensors (or ``Stored``) in ``contents`` and sentences on what was unwrapped and left out.

    ``entry`` names the part to take where a file holds several networks. Raises BadInput if there is no state dict.
    """
    notes: list[str] = []
    value = _chosen(name, contents, entry) if entry else contents
    for _ in range(DEPTH):
        inner = _inner(value)
        if inner is None:
            break
        notes.append(_taken(value, inner))
        value = _mapping(value)[inner]
    if isinstance(value, list | tuple) and value and all(_is_tensor(v) for v in value):
        notes.append("The file holds a list of tensors without names; they are numbered.")
        return {str(i): v for i, v in enumerate(value)}, notes
    return _without_prefixes(_named(name, value, notes), notes), notes


def _inner(value: Any) -> str | None:
    """The entry to descend into, or None where ``value`` holds tensors itself or nothing tells which entry."""
    mapping = _mapping(value)
    if mapping is None:
        return None
    holders = [key for key, part in mapping.items() if isinstance(key, str) and _holds_tensors(part)]
    known = [key for key in WRAPPINGS if key in holders]
    if known:
        return known[0]
    networks = [key for key in holders if not _is_optimizer(key)]
    return networks[0] if len(networks) == 1 and not any(map(_is_tensor, mapping.values())) else None


def _taken(value: Any, inner: str) -> str:
    others = [key for key, part in _mapping(value).items() if key != inner and isinstance(key, str) and
              _holds_tensors(part) and not _is_optimizer(key)]
    also = f"; the file also holds {', '.join(map(repr, others))}" if others else ""
    return f"The weights were taken from the entry {inner!r}{also}."


def _named(name: str, value: Any, notes: list[str]) -> dict[str, Any]:
    mapping = _mapping(value)
    if not mapping or not (any(map(_is_tensor, mapping.values())) or any(map(_holds_tensors, mapping.values()))):
        raise _no_state_dict(name, value)
    tensors = {str(key): part for key, part in mapping.items() if _is_tensor(part)}
    if not tensors:
        parts = {str(key): part for key, part in mapping.items() if not _is_optimizer(str(key)) and _holds_tensors(part)}
        if not parts:
            raise _no_state_dict(name, value)
        tensors = {f"{key}.{inner}": leaf for key, part in parts.items() for inner, leaf in _leaves(part, DEPTH)}
        notes.append(f"The file holds tensors under {', '.join(map(repr, parts))}; they are read as one network.")
    ignored = [str(key) for key, part in mapping.items() if not _is_tensor(part) and str(key) not in
               {inner.split(".")[0] for inner in tensors}]
    if ignored:
        more = f" and {len(ignored) - 5} more" if len(ignored) > 5 else ""
        notes.append(f"Ignored, because they are no tensors: {', '.join(ignored[:5])}{more}.")
    return tensors


def _without_prefixes(tensors: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    plain = {".".join(part for part in key.split(".") if part not in WRAPPERS_OF_CODE): value
             for key, value in tensors.items()}
    if len(plain) == len(tensors) and list(plain) != list(tensors):
        notes.append("Wrapper names such as '_orig_mod.' were taken out of the names.")
        tensors = plain
    while True:
        rest = [key for key in tensors if key != "n_averaged"]
        prefix = next((p for p in PREFIXES if rest and all(key.startswith(p) and key != p for key in rest)), None)
        if prefix is None:
            return tensors
        if len(rest) != len(tensors):
            notes.append("Ignored: n_averaged, the count that torch's AveragedModel keeps.")
        notes.append(f"The prefix {prefix!r} was taken off all names.")
        tensors = {key.removeprefix(prefix): tensors[key] for key in rest}


def _chosen(name: str, contents: Any, entry: str) -> Any:
    mapping = _mapping(contents) or {}
    if entry not in mapping:
        raise unknown(f"entry of {name}", entry, [key for key in mapping if isinstance(key, str)] or ["(none)"])
    return mapping[entry]


def _mapping(value: Any) -> dict | None:
    if isinstance(value, Inert):
        return value.items or None
    return dict(dict.items(value)) if isinstance(value, dict) else None


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor | Stored)


def _holds_tensors(value: Any, depth: int = 2) -> bool:
    mapping = _mapping(value)
    return mapping is not None and any(
        _is_tensor(part) or (depth > 0 and _holds_tensors(part, depth - 1)) for part in mapping.values())


def _leaves(mapping: Any, depth: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, part in (_mapping(mapping) or {}).items():
        if _is_tensor(part):
            found.append((str(key), part))
        elif depth > 0:
            found += [(f"{key}.{inner}", leaf) for inner, leaf in _leaves(part, depth - 1)]
    return found


def _is_optimizer(key: str) -> bool:
    return any(word in key.lower() for word in ("optim", "sched", "scaler", "rng", "callback", "loops"))


def _no_state_dict(name: str, value: Any) -> BadInput:
    modules = [part.name for part in (value, *(value.values() if isinstance(value, Mapping) else ()))
               if isinstance(part, Inert) and not part.items]
    if modules:
        return BadInput(f"{name} holds whole Python objects ({', '.join(dict.fromkeys(modules[:3]))}) instead of a state "
                        f"dict; loading them could run any code, so nothing of them was loaded. Where you trust the file, "
                        f"open it with its own code. {HOW}")
    found = f"a dict with the entries {', '.join(map(str, list(value)[:8]))}" if isinstance(value, Mapping) and value else (
        f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"an empty {type(value).__name__}"
        if not value else f"a {type(value).__name__}")
    return BadInput(f"{name}: expected a state dict (names and tensors), found {found}. {HOW}")
