"""``landscape calibrate``: an account of predictions from anywhere, before and after one temperature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from landscape.errors import BadInput
from landscape.shell import print_json, say
from landscape.uncertainty.account import DRAWS
from landscape.uncertainty.entry import KINDS
from landscape.uncertainty.reading import read
from landscape.uncertainty.summary import summary

SHOWN = {"error": "error", "nll": "NLL", "brier": "Brier", "ece15": "ECE, 15 bins", "ece15_mass": "ECE, equal mass",
         "ece_debiased": "ECE, debiased", "mce": "MCE"}


def calibrate(
    files: Annotated[list[Path], typer.Argument(help="CSV or npz with logits or probabilities and labels.")],
    kind: Annotated[str | None, typer.Option(help="logits or probabilities, where the file does not say.")] = None,
    draws: Annotated[int, typer.Option(min=0, max=100_000, help="Bootstrap draws of the intervals.")] = DRAWS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap and of the halves.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value on the last line.")] = False,
) -> None:
    """How well predictions know what they do not know: error, NLL, Brier and calibration errors with intervals."""
    if kind is not None and kind not in KINDS:
        raise BadInput(f"--kind must be {' or '.join(KINDS)}, found {kind!r}.")
    names = _names(files)
    found = {}
    for name, path in zip(names, files, strict=True):
        contents = read(path, kind)
        found[name] = summary(contents.test, contents.validation, draws=draws, seed=seed)
        if not as_json:
            _print(name, found[name])
    if as_json:
        print_json(found)


def _names(files: list[Path]) -> list[str]:
    """What the sources are called: the files' names, or their paths if two names are the same."""
    names = [path.name for path in files]
    return names if len(set(names)) == len(names) else [str(path) for path in files]


def _print(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['n']:,} predictions")
    after = found["after"]
    print(f"{'':<18}{'as they are':<34}" + (f"at temperature {found['temperature']:.4g}" if after else ""))
    for key, title in SHOWN.items():
        sides = [_cell(found[key], found["intervals"]["before"].get(key))]
        sides += [_cell(after[key], found["intervals"]["after"].get(key))] if after else []
        print(f"{title:<18}" + "".join(f"{side:<34}" for side in sides).rstrip())
    if after:
        print(f"The temperature changes {found['changed_predictions']} predictions.")
    for sentence in found["said"]:
        say(sentence)


def _cell(value: float, ends) -> str:
    return f"{value:.5g}" + (f" ({ends[0]:.5g} to {ends[1]:.5g})" if ends else "")
