"""Calling a function of the user's own code that makes a network, if the operator has listed its module.

``LANDSCAPE_FACTORIES`` (or ``factories`` in landscape.toml) names modules, separated by commas; a listed package allows its
submodules. Nothing is imported before the list has been asked.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from landscape.errors import BadInput
from landscape.sharing import is_open

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def listed() -> tuple[str, ...]:
    """The modules whose functions may be called; none in an app that is open to others."""
    if is_open():
        return ()
    return tuple(part.strip() for part in os.environ.get("LANDSCAPE_FACTORIES", "").split(",") if part.strip())


def is_listed(module: str) -> bool:
    """Whether a module, or a package it is in, is on the operator's list."""
    return any(module == name or module.startswith(name + ".") for name in listed())


def factory(target: str) -> Callable[..., Any]:
    """The function or class ``package.module:name``.

    Raises BadInput if the module is not listed (it is then not imported), cannot be imported, or lacks the name, and for
    names that the module itself only imported from a module that is not listed.
    """
    module, _, name = target.partition(":")
    if not _MODULE.fullmatch(module) or not _NAME.fullmatch(name):
        raise BadInput(f"Expected package.module:function, with one name after the colon; found {target!r}.")
    if not is_listed(module):
        found = f"listed are {', '.join(listed())}" if listed() else "the list is empty"
        raise BadInput(f"{target} is refused: its code would run, and {module} is not in LANDSCAPE_FACTORIES ({found}). "
                       f"If you run this program, allow it with LANDSCAPE_FACTORIES={module}, or in landscape.toml.")
    try:
        made = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # the module's own code may raise anything
        raise BadInput(f"{module} cannot be imported ({type(error).__name__}: {error}). Install it into the environment of "
                       "this program, or add its folder to PYTHONPATH.") from error
    if made is None or not callable(made):
        names = [n for n, value in vars(importlib.import_module(module)).items() if callable(value) and n[0] != "_"]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        raise BadInput(f"{module} has no function or class {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
    home = getattr(made, "__module__", None) or "nowhere"
    if not is_listed(home):
        raise BadInput(f"{target} is refused: {name} comes from {home}, which is not in LANDSCAPE_FACTORIES. List {home} "
                       "too, or write a function in the listed module that calls it.")
    return made


def called(target: str, function: Callable[..., Any], arguments: Mapping[str, Any], result: type = nn.Module) -> Any:
    """What the function makes of ``arguments``; they are held against its signature first. Raises BadInput."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise BadInput(f"{target} takes {signature}, found the arguments {sorted(arguments) or 'none'}: {error}."
                           f"{_nearest(signature, arguments)}") from None
    try:
        made = function(**arguments)
    except Exception as error:  # the user's own code may raise anything
        raise BadInput(f"{target} raised {type(error).__name__}: {error}. Called with {dict(arguments)}.") from error
    if not isinstance(made, result):
        raise BadInput(f"{target} returned a {type(made).__name__}, expected a torch {result.__name__}.")
    return made


def _nearest(signature: inspect.Signature, arguments: Mapping[str, Any]) -> str:
    for name in arguments:
        near = difflib.get_close_matches(name, signature.parameters, n=1, cutoff=0.5)
        if name not in signature.parameters and near:
            return f" Did you mean {near[0]!r} for {name!r}?"
    return ""
