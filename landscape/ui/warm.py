"""Getting the page server ready before the first visitor comes."""

from __future__ import annotations

import gc
import importlib
import pkgutil

from landscape import figures

ALSO = ("landscape.settings", "landscape.runs", "pandas", "pyarrow")  # the last two are Streamlit's, at the first table


def up() -> None:
    """Import what pages need, and take it out of the reach of garbage collection.

    Streamlit collects all garbage after every run of a page. What was imported never becomes any, and looking through it
    takes longer than drawing a page.
    """
    for name in (*ALSO, *(f"landscape.figures.{module.name}" for module in pkgutil.iter_modules(figures.__path__))):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
