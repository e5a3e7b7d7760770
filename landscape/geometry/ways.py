"""Which way an evaluator takes: batched layers, folded tiles, several networks together (on a GPU), or the module itself,
one network after the other.

Structure decides and is not believed: what was read off a module must give its outputs, and its BatchNorm statistics, on
examples at two random weight vectors in float64. Then a few examples are timed both ways. The choice between bits is never
left to a close race, or a picture that goes on after an accident could change: the module is taken only if it wins clearly,
and a picture that goes on is told the way it had begun with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.geometry import fused, together
from landscape.geometry.folded import Folded
from landscape.networks.net import Buffers, Net
from landscape.networks.steps import NotRead, Step, steps_of
from landscape.training.task import Task

KINDS = ("batched", "folded", "module", "together")
VARIABLE = "LANDSCAPE_WAY"
EXAMPLES, TILE = 5, 3  # what is compared: two tiles of different sizes
EQUAL = 1e-7  # of the largest number, in float64
SAME = 1e-4  # the same in float32, of two ways to round
CLEARLY = 2.0  # how much faster the module must be to be taken
LARGE = 2**23  # weights of a stack of linear layers from which on no group of networks is held, but one a thread
FOLDED = 2**26  # weights up to which the layers are read and compared with the module, in copies in float64
PROBE = 0.1  # seconds that the timing of one way may take, about

_read: WeakKeyDictionary[Net, dict] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Way:
    """``kind`` of KINDS; a folded one has steps and a ``width`` of tiles; ``why`` says why the module is taken."""

    kind: str
    width: int = 0
    folded: Folded | None = None
    why: str = ""

    def said(self, threads: int) -> dict:
        """What a result's info keeps; ``words`` for people. Two ways of the same kind and width give the same bits."""
        each = "one thread" if threads == 1 else f"{threads} threads"
        words = {"batched": f"layers of several points at once, the first one affine in the coordinates, on {each}",
                 "folded": f"tiles of {self.width} examples on {each}",
                 "together": "several networks at once",
                 "module": f"runs of the module itself on {each}" + (f" ({self.why})" if self.why else "")}[self.kind]
        if self.kind == "folded" and (done := self.folded.done):
            words = f"layers with {' and '.join(done)}, {words}"
        return {"kind": self.kind, "width": self.width, "threads": threads, "words": words}


def chosen(task: Task, re_estimate: bool, wanted: str | dict | None = None) -> Way:
    """The way for a task; ``wanted`` (a kind, or what ``Way.said`` gave) or the variable LANDSCAPE_WAY force one.

    Raises BadInput for a kind that does not exist or that this network does not allow.
    """
    kind, width = _wanted(wanted)
    x = task.splits["train"][0] if "train" in task.splits else next(iter(task.splits.values()))[0]
    if kind == "batched" and not task.net.layers:
        raise BadInput(f"{VARIABLE}=batched needs a stack of linear layers; this network is {_name(task.net)}. Use folded, "
                       "module or auto.")
    if kind == "module":
        return Way("module", why="as asked for")
    if kind == "together" or (kind is None and x.device.type != "cpu"):
        why = together.refused(task, re_estimate)
        if why and kind is not None:
            raise BadInput(f"{VARIABLE}=together is not possible for {_name(task.net)}: {why}. Use module or auto.")
        return Way("module", why=why) if why else Way("together")
    if kind is None and task.net.layers and task.net.size > LARGE:
        return Way("module", why="so large that one vector of its weights at a time is held")
    if kind == "batched" or (kind is None and task.net.layers):
        return Way("batched")
    try:
        folded, fits = _folded(task, x)
        if re_estimate and folded.norms and not task.batchnorm_batches:
            raise NotRead("there are no examples to estimate its statistics on")
    except NotRead as error:
        if kind == "folded":
            raise BadInput(f"{VARIABLE}=folded is not possible for {_name(task.net)}: {error}. Use module or auto."
                           ) from None
        return Way("module", why=str(error))
    way = Way("folded", width or fits, folded)
    if kind is None and _faster(task.net, x, way, re_estimate and bool(folded.norms)):
        return Way("module", why="measured to be faster")
    return way


def _wanted(wanted: str | dict | None) -> tuple[str | None, int]:
    """Kind, None for any, and width of tiles, 0 for any."""
    if isinstance(wanted, dict):
        return wanted["kind"], wanted.get("width", 0)
    kind = wanted or os.environ.get(VARIABLE) or "auto"
    if kind not in ("auto", *KINDS):
        raise BadInput(f"{VARIABLE} is one of auto, {', '.join(KINDS)}; found {kind!r}.")
    return (None if kind == "auto" else kind), 0


def _name(net: Net) -> str:
    return type(net.module).__name__


def _folded(task: Task, x: Tensor) -> tuple[Folded, int]:
    """The steps of a net, compared with it, and the width of its tiles. Raises NotRead.

    Steps and width are remembered for as long as the net is there (not what holds the net: it would then never go).
    """
    if x.device.type != "cpu":
        raise NotRead("tiles are for processors")
    if not x.is_floating_point():
        raise NotRead("its inputs are no real numbers")
    if task.net.size > FOLDED:
        raise NotRead("so large that one vector of its weights at a time is held")
    known, key = _read.setdefault(task.net, {}), (tuple(x.shape[1:]), task.dtype)
    if key not in known:
        try:
            known[key] = _understood(task.net, x[:EXAMPLES], task.dtype)
        except NotRead as error:
            known[key] = str(error)
    if isinstance(known[key], str):
        raise NotRead(known[key])
    steps, passes, width = known[key]
    return Folded(task.net, steps, task.dtype, passes), min(width, task.batch or width)


@torch.no_grad()
def _understood(net: Net, x: Tensor, dtype: torch.dtype) -> tuple[tuple[Step, ...], tuple[Step, ...], int]:
    """Steps, the same in fewer passes, and width.

    Raises NotRead unless the steps do what the module does, at two random weight vectors, in float64.
    """
    steps, g = steps_of(net.module), torch.Generator().manual_seed(0)
    try:
        plain = Folded(net, steps, dtype)
        shapes = plain.shapes(x)
        passes = _fused(plain, shapes, x, g) if fused.possible(dtype) else steps
        exact, x = net.to(dtype=torch.float64), x.double()
        read, start, before = Folded(exact, steps_of(exact.module), torch.float64), exact.initial, x.clone()
        for _ in range(2):
            w = start + (start.std(correction=0) + 0.01) * torch.randn(start.shape, generator=g, dtype=torch.float64)
            _compare(read, exact, w, x, _random(exact, g))
        if not torch.equal(x, before):
            raise NotRead("its forward changes its input")
    except NotRead:
        raise
    except Exception as error:  # whatever a foreign forward raises: it is then run as it is
        raise NotRead(f"its layers could not be run one by one: {type(error).__name__}") from error
    return steps, passes, plain.width(x, shapes)


def _fused(plain: Folded, shapes: Mapping[int, tuple[int, ...]], x: Tensor, g: torch.Generator) -> tuple[Step, ...]:
    """The steps in fewer passes; as they are, where those do not run here or do not give the same outputs."""
    passes, net = fused.fused(plain.steps, shapes), plain.net
    buffers, batch = _random(net, g), plain.batch(x.to(plain.dtype), TILE)
    true, quick = (lambda way=way: way.outputs(way.weights(net.initial, way.stored(buffers)), batch)
                   for way in (plain, Folded(net, plain.steps, plain.dtype, passes)))
    expected = true()
    try:
        return passes if _equal(quick(), expected, SAME) else plain.steps
    except RuntimeError:  # a processor or a layer that this torch has no such convolution for
        return plain.steps


def _compare(read: Folded, net: Net, w: Tensor, x: Tensor, buffers: Buffers) -> None:
    batch = read.batch(x, TILE, moments=True)
    _same(read.outputs(read.weights(w, read.stored(buffers)), batch), net(w, x, buffers), "outputs")
    if not read.norms:
        return
    found, true = read.estimate(w, [batch]), net.estimate_batchnorm(w, [x])
    for name, (mean, var) in found.items():
        _same(mean, true[f"{name}.running_mean"], "BatchNorm statistics")
        _same(var, true[f"{name}.running_var"], "BatchNorm statistics")
    _same(read.on_own_statistics(w, batch), net.on_own_statistics(w, x), "outputs")


def _random(net: Net, g: torch.Generator) -> Buffers:
    """Statistics that a wrong folding would show on."""
    buffers = net.buffers
    for name, b in buffers.items():
        if name.endswith("running_mean"):
            b.copy_(torch.randn(b.shape, generator=g, dtype=b.dtype))
        elif name.endswith("running_var"):
            b.copy_(0.5 + torch.rand(b.shape, generator=g, dtype=b.dtype))
    return buffers


def _same(found: Tensor, true: Tensor, what: str) -> None:
    if not _equal(found, true, EQUAL):
        raise NotRead(f"its layers one by one do not give its {what}")


def _equal(found: Tensor, true: Tensor, within: float) -> bool:
    """Whether all numbers are equal, within a share of the largest."""
    scale = float(true.abs().max()) if true.numel() else 0.0
    return found.shape == true.shape and float((found - true).abs().max()) <= within * scale + 1e-12


def _faster(net: Net, x: Tensor, way: Way, estimates: bool) -> bool:
    """Whether the module itself takes clearly less time for a point; measured once for each net and width."""
    known, key = _read[net], ("faster", tuple(x.shape[1:]), way.width, estimates)
    if key not in known:
        outer = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            known[key] = _measured(net, x, way, estimates)
        finally:
            torch.set_num_threads(outer)
    return known[key]


@torch.no_grad()
def _measured(net: Net, x: Tensor, way: Way, estimates: bool) -> bool:
    w, folded = net.initial.to(way.folded.dtype), way.folded
    count = int(min(len(x), 2 * way.width, max(2, PROBE / max(_seconds(lambda: net(w, x[:1])), 1e-9))))
    part = x[:count]
    batch = folded.batch(part, way.width, moments=estimates)

    def module() -> None:
        net(w, part, net.estimate_batchnorm(w, [part]) if estimates else None)

    def tiles() -> None:
        statistics = folded.estimate(w, [batch]) if estimates else folded.stored(None)
        folded.outputs(folded.weights(w, statistics), batch)

    pairs = [(_seconds(tiles), _seconds(module)) for _ in range(3)]
    return min(t for t, _ in pairs) > CLEARLY * min(m for _, m in pairs)


def _seconds(work: Callable[[], object]) -> float:
    """Of this thread's processor: what other programs take meanwhile does not count."""
    started = time.thread_time()
    work()
    return time.thread_time() - started
