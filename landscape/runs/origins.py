"""What a network that was saved here belongs to: read off the words its file carries, without loading any weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors

from landscape.errors import LandscapeError
from landscape.runs.library import Library
from landscape.settings_inspect import KEPT, Inspect

NETWORK = "network"  # the weights of a kept network
FROM_TRAINING = ("network", "activation", "data_seed", "train_size", "label_noise", "noise_variance", "weight_decay")
FROM_INSPECT = ("network", "arguments", "activation", "data", "data_seed", "train_size", "label_noise", "normalisation",
                "channels", "loss", "noise_variance", "weight_decay")


def origin(file: str, library: Library) -> dict[str, Any]:
    """Settings of ``inspect`` that say what network and data a file of ours belongs to; empty for any other file."""
    metadata = _metadata(file, library)
    try:
        recipe, given = metadata["recipe"], json.loads(metadata["settings"])
    except (KeyError, ValueError):
        return {}
    if recipe == "inspect":
        return {name: given[name] for name in FROM_INSPECT if name in given}
    if recipe != "training" or not {"task", "widths", "norm"} <= set(given):
        return {}
    found = {name: given[name] for name in FROM_TRAINING if name in given and name in Inspect.model_fields}
    return found | {"data": given["task"], "arguments": json.dumps({"widths": given["widths"], "norm": given["norm"]})}


def _metadata(file: str, library: Library) -> dict[str, str]:
    if file.startswith(KEPT):
        data = library.weights_file(library.run(file.removeprefix(KEPT)).key, NETWORK)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return header.get("__metadata__", {})
    if Path(file).suffix.lower() != ".safetensors" or not Path(file).is_file():
        return {}
    try:
        with safetensors.safe_open(file, framework="numpy") as source:
            return source.metadata() or {}
    except (safetensors.SafetensorError, OSError, LandscapeError):
        return {}  # whoever reads the weights says what is wrong with the file
