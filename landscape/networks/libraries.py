"""Networks of timm and transformers (``pip install 'landscape[models]'``). Nothing is ever downloaded."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from landscape.errors import BadInput, unknown
from landscape.networks.factories import called
from landscape.networks.roots import allowed

_WEIGHTS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "pretrained_strict"}
_REMOTE = {"trust_remote_code", "code_revision", "token", "use_auth_token", "proxies", "local_files_only", "config"}


def from_timm(name: str, arguments: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """A timm model without its weights; classes and channels are those of the data unless ``arguments`` say otherwise."""
    refused = _WEIGHTS & set(arguments)
    if refused:
        raise BadInput(f"timm:{name}: {', '.join(sorted(refused))} would fetch or unpickle weights. Give the weights as "
                       "a file.")
    timm = _library("timm")
    if name not in timm.list_models():
        raise unknown("timm model", name, timm.list_models())
    given = {"num_classes": outputs} | ({"in_chans": shape[0]} if len(shape) == 3 else {}) | dict(arguments)

    def create_model(**options: Any) -> nn.Module:
        return timm.create_model(name, pretrained=False, **options)

    return called(f"timm:{name}", create_model, given)


def from_transformers(name: str, arguments: Mapping[str, Any], roots: Iterable[Path | str] = ()) -> nn.Module:
    """The model that a config.json describes: in an allowed folder, or in the cache that transformers keeps.

    The class is the first of the config's ``architectures`` and must be one of the library; ``arguments`` change entries of
    the config (``num_labels=10``). Code beside the config is never imported. ``Net`` takes the logits of what it puts out.
    """
    refused = (_WEIGHTS | _REMOTE) & set(arguments)
    if refused:
        raise BadInput(f"transformers:{name}: {', '.join(sorted(refused))} would fetch files or run code. Leave it out.")
    transformers = _library("transformers")
    is_path = name.startswith((".", "/", "~")) or Path(name).is_dir()
    folder = str(allowed(name, roots, kind="folder")) if is_path else name
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **arguments)
    except Exception as error:  # the library raises many kinds
        raise BadInput(f"transformers:{name}: no usable config.json ({str(error).splitlines()[0][:200]}). Save it with "
                       "model.config.save_pretrained(FOLDER) and give that folder; nothing is downloaded.") from None
    wanted = (getattr(config, "architectures", None) or [""])[0]
    made = getattr(transformers, wanted, None) if wanted.isidentifier() else None
    if not (isinstance(made, type) and issubclass(made, transformers.PreTrainedModel)):
        raise BadInput(f"transformers:{name}: its config names the architecture {wanted!r}, which is no model of the "
                       f"installed transformers {transformers.__version__}. Name yours as package.module:factory.")
    return called(f"transformers:{name}", lambda: made(config), {})


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput(f"{name} is not installed here ({error}). Install it: pip install 'landscape[models]'.") from None
