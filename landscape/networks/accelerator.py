"""A device with memory of its own: how much goes there at once, what happens when it is full, which numbers it computes.

Nothing here needs a GPU: on a CPU the same steps are taken with a fixed number at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch

Found = TypeVar("Found")
SHARE = 0.7  # of the free memory that is used
FIRST = 4  # things that the memory of one is measured on
LOWER = ("tf32", "bfloat16")  # precisions less than float32

_chosen = threading.local()  # whether this thread is within ``numbers``


class Room:
    """How many of many things go at once: as many as fit, at most ``most``; half as many each time memory runs out.

    ``size`` is None until it has been measured, with the first things: by the most that torch had allocated meanwhile, held
    against the free memory of the device. On a CPU it is ``most`` from the start.
    """

    def __init__(self, device: torch.device, most: int):
        self.device, self.most, self.halved = device, most, 0
        self.size = None if device.type == "cuda" else most

    def parts(self, count: int, work: Callable[[slice], Found]) -> list[Found]:
        """What ``work`` gives for slices of so many things, in order; a slice whose memory ran out is tried again in halves.

        ``work`` must leave no trace when it raises. Raises torch.OutOfMemoryError where even one thing does not fit.
        """
        found, start = [], 0
        while start < count:
            part = slice(start, min(start + (self.size or min(FIRST, self.most)), count))
            made, full = self._tried(work, part)
            if full is not None:
                if part.stop - start == 1:
                    raise full
                self.size, self.halved = max(1, (part.stop - start) // 2), self.halved + 1
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            found.append(made)
            start = part.stop
        return found

    def _tried(self, work, part: slice) -> tuple[Found | None, torch.OutOfMemoryError | None]:
        measured = self.size is None
        if measured:
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
        try:
            made = work(part)
        except torch.OutOfMemoryError as error:
            return None, error.with_traceback(None)  # which would hold what was allocated
        if measured:
            each = (torch.cuda.max_memory_allocated(self.device) - before) / (part.stop - part.start)
            self.size = int(min(self.most, max(1, SHARE * free_bytes(self.device) / max(each, 1))))
        return made, None


def free_bytes(device: torch.device) -> int:
    """Memory of a CUDA device that nobody uses, what torch holds for later included."""
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held


@contextmanager
def numbers(device: torch.device, tf32: bool = False) -> Iterator[None]:
    """Within, products and convolutions of float32 on a GPU are what they say, or with ``tf32`` rounded to ten bits.

    (Left alone, torch rounds convolutions and not products.)
    """
    if device.type != "cuda":
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before, within = (products.allow_tf32, convolutions.allow_tf32), getattr(_chosen, "within", False)
    products.allow_tf32 = convolutions.allow_tf32 = tf32
    _chosen.within = True
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
        _chosen.within = within


def exact(device: torch.device) -> AbstractContextManager:
    """``numbers`` of a pass through a network that nobody around has chosen any for: those of float32."""
    return nullcontext() if device.type != "cuda" or getattr(_chosen, "within", False) else numbers(device)


@contextmanager
def mixed(device: torch.device, precision: str) -> Iterator[None]:
    """Within, networks whose weights are float32 take products and convolutions in a precision.

    ``bfloat16`` is torch's automatic mixed precision (Micikevicius et al. 2018): factors are rounded to eight bits, sums are
    not. ``tf32`` is float32 on a CPU. Any other precision takes the numbers as they are, also within a lower one. Gradients
    of what was computed within are taken outside, in ``numbers``: autocast remembers what they are to be computed in.
    """
    rounds = precision == "bfloat16"
    with numbers(device, tf32=precision == "tf32"):
        if rounds == torch.is_autocast_enabled(device.type):
            yield
            return
        with torch.autocast(device.type, torch.bfloat16, enabled=rounds, cache_enabled=False):
            yield


def in_words(precision: str, device: str) -> str:
    """A precision, with what it is on a kind of device that does not have it."""
    return f"{precision} (which a CPU computes as float32)" if (precision, device) == ("tf32", "cpu") else precision
