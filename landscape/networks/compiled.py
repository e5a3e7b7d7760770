"""Functions that threads run side by side: sequences of short operations on tensors, without the interpreter.

A thread that goes from one short operation to the next in Python waits for the interpreter each time that another thread
has it: a sixth of the time, with two threads. TorchScript runs the whole of such a function without it; where torch no
longer has that, the function runs as it is written, with the same results.
"""

import logging
import warnings
from collections.abc import Callable
from functools import cache

import torch

log = logging.getLogger(__name__)


@cache
def compiled(function: Callable) -> Callable:
    """The function for TorchScript, or itself where there is no such thing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(function)
        except (AttributeError, OSError, RuntimeError) as error:  # gone, its source not at hand, or no longer understood
            log.warning("%s runs as plain Python, which is slower with several threads: %s", function.__name__, error)
            return function
