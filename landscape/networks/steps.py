"""A module as a list of steps on values: layers whose weights are known by name, and calls that have no weights.

Read off a trace with torch.fx. What a step is taken to do is what the layer's documentation says; ``geometry.ways`` compares
the whole with the module itself before anything is computed with it.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

CONVOLUTIONS = {nn.Conv1d: functional.conv1d, nn.Conv2d: functional.conv2d, nn.Conv3d: functional.conv3d}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ADDITIONS = (operator.add, operator.iadd, torch.add)
RELUS = (torch.relu, functional.relu, torch.relu_)
OWN = ("conv", "linear", "norm", "add")  # kinds whose output is memory of its own
HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class NotRead(Exception):
    """A module that is no list of such steps; the message says why, for people."""


@dataclass(frozen=True)
class Step:
    """``values[out] = apply(values[sources], weights)``.

    ``kind``: input, weight, conv, linear, norm, group, relu, add, call, output. ``layer`` is the module's layer, to read
    its settings off, ``name`` where its weights are. ``into``: the step whose weights can take this BatchNorm in.
    ``ends``: values that no later step needs. ``own``: a source that is nobody else's and may be overwritten.
    Where ``geometry.fused`` made one of several: ``weights`` is where they are if not at ``out``, ``plus`` what a
    convolution is added to, in that memory, ``relu`` whether one follows, ``order`` (C, H, W) of images whose numbers
    reach a linear layer as they lie, (H, W, C).
    """

    kind: str
    out: int
    sources: tuple[int, ...] = ()
    name: str = ""
    layer: nn.Module | None = None
    call: Callable | None = None
    into: int | None = None
    ends: tuple[int, ...] = ()
    own: int | None = None
    weights: int | None = None
    plus: int | None = None
    relu: bool = False
    order: tuple[int, int, int] | None = None


def steps_of(module: nn.Module) -> tuple[Step, ...]:
    """The steps of a module in evaluation mode. Raises NotRead where its forward is not understood."""
    for name, child in module.named_modules():
        if any(getattr(child, hooks) for hooks in HOOKS):
            raise NotRead(f"{name or type(child).__name__} has hooks")
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:
        raise NotRead(f"its forward cannot be traced ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
                      ) from error
    places = {node: i for i, node in enumerate(graph.nodes)}
    if sum(node.op == "placeholder" for node in graph.nodes) != 1:
        raise NotRead("its forward takes more than one input")
    found = [_step(module, node, places) for node in graph.nodes]
    users = {places[node]: [places[user] for user in node.users] for node in graph.nodes}
    return tuple(_linked(found, users))


def _step(module: nn.Module, node: fx.Node, places: dict[fx.Node, int]) -> Step:
    out, sources = places[node], tuple(places[source] for source in node.all_input_nodes)
    if node.op == "placeholder":
        return Step("input", out)
    if node.op == "output":
        if not isinstance(node.args[0], fx.Node):
            raise NotRead("it puts out more than one tensor")
        return Step("output", out, sources)
    if node.op == "get_attr":
        if node.target not in dict(module.named_parameters()):
            raise NotRead(f"its forward reads {node.target}, which is no parameter")
        return Step("weight", out, (), node.target)
    if node.op == "call_module":
        return _layer(module.get_submodule(node.target), node, out, sources)
    return _call(node, places, out, sources)


def _layer(layer: nn.Module, node: fx.Node, out: int, sources: tuple[int, ...]) -> Step:
    """The step of a layer of torch.nn that is fed one value."""
    if len(node.args) != 1 or node.kwargs or len(sources) != 1:
        raise NotRead(f"{node.target} is fed more than one value")
    made = Step("call", out, sources, str(node.target), layer)
    if type(layer) in CONVOLUTIONS and layer.padding_mode == "zeros":
        return replace(made, kind="conv")
    if type(layer) is nn.Linear:
        return replace(made, kind="linear")
    if type(layer) in NORMS and layer.track_running_stats and layer.running_mean is not None:
        return replace(made, kind="norm")
    if type(layer) is nn.GroupNorm:
        return replace(made, kind="group")
    if type(layer) is nn.ReLU:
        return replace(made, kind="relu")
    if any(True for _ in (*layer.parameters(), *layer.buffers())) or isinstance(layer, NORMS):
        raise NotRead(f"{node.target} ({type(layer).__name__}) is a layer that only the module itself can run")
    if getattr(layer, "inplace", False):
        layer = copy.copy(layer)
        layer.inplace = False
    return replace(made, call=lambda values: layer(values[sources[0]]))


def _call(node: fx.Node, places: dict[fx.Node, int], out: int, sources: tuple[int, ...]) -> Step:
    """The step of a function or a method; those that work in place get memory of their own."""
    target = node.target
    if node.op == "call_method" and target.endswith("_"):
        target = target.rstrip("_")
    plain = len(node.args) == len(sources) and not set(node.kwargs) - {"inplace"}
    if plain and len(sources) == 2 and (target in ADDITIONS or target == "add"):
        return Step("add", out, tuple(places[source] for source in node.args))
    if plain and len(sources) == 1 and (target in RELUS or target == "relu"):
        return Step("relu", out, sources)
    kwargs = {name: False if name == "inplace" else value for name, value in node.kwargs.items()}
    args = fx.node.map_arg(node.args, lambda source: _Value(places[source]))
    kwargs = fx.node.map_arg(kwargs, lambda source: _Value(places[source]))

    def call(values: list):
        given, named = _filled(args, values), _filled(kwargs, values)
        return getattr(given[0], target)(*given[1:], **named) if node.op == "call_method" else target(*given, **named)

    return Step("call", out, sources, str(target), None, call)


@dataclass(frozen=True)
class _Value:
    """Where a value comes from, in the arguments of a call."""

    place: int


def _filled(given, values: list):
    """Arguments with values where their places stood."""
    if isinstance(given, _Value):
        return values[given.place]
    if isinstance(given, tuple | list):
        return type(given)(_filled(part, values) for part in given)
    if isinstance(given, slice):
        return slice(*(_filled(part, values) for part in (given.start, given.stop, given.step)))
    return {name: _filled(part, values) for name, part in given.items()} if isinstance(given, dict) else given


def _linked(found: list[Step], users: dict[int, list[int]]) -> list[Step]:
    """The steps with ``into``, ``ends`` and ``inplace``; steps that nothing needs are left out."""
    names = [step.name for step in found if step.kind in ("conv", "linear", "norm", "group")]
    if len(set(names)) < len(names):
        raise NotRead("a layer is used twice")
    made, at = [], {step.out: step for step in found}
    for step in found:
        if not users[step.out] and step.kind not in ("output", "input"):
            continue
        alone = [at[place] for place in step.sources if users[place] == [step.out]]
        into = next((s.out for s in alone if step.kind == "norm" and s.kind in ("conv", "linear")), None)
        ends = tuple(place for place in step.sources if max(users[place]) == step.out and at[place].kind != "input")
        made.append(replace(step, into=into, ends=ends, own=next((s.out for s in alone if s.kind in OWN), None)))
    return made


def applied(step: Step, values: list, weights: tuple) -> Tensor:
    """What a step makes of the values before it; ``weights`` as ``geometry.folded`` prepares them."""
    kind, layer = step.kind, step.layer
    if step.call is not None:
        return step.call(values)
    if kind == "weight":
        return weights[0]
    source = values[step.sources[0]]
    if kind == "conv" and (step.relu or step.plus is not None):
        return _convolved(step, _laid(source), values[step.plus] if step.plus is not None else None, *weights)
    if kind == "conv":
        return CONVOLUTIONS[type(layer)](_laid(source), *weights, layer.stride, layer.padding, layer.dilation, layer.groups)
    if kind == "linear":
        return functional.linear(source, *weights)
    if kind == "norm":
        return functional.batch_norm(source, *weights, False, 0.0, layer.eps)
    if kind == "group":
        return functional.group_norm(source, layer.num_groups, *weights, layer.eps)
    if kind == "relu":
        return source.relu() if step.own is None else source.relu_()
    other = values[step.sources[1]]
    if step.own is None or source.shape != other.shape:
        return source + other
    return source.add_(other) if step.own == step.sources[0] else other.add_(source)


def _convolved(step: Step, source: Tensor, other: Tensor | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``relu(conv(source) + other)`` in one pass of oneDNN, each part if the step has it, in memory of the other."""
    layer = step.layer
    settings = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
    if other is None:
        return torch.ops.mkldnn._convolution_pointwise(source, weight, bias, *settings, "relu", [], "")
    after = "relu" if step.relu else None
    add = torch.ops.mkldnn._convolution_pointwise_.binary
    return add(other, source, weight, bias, *settings, "add", 1.0, after, [], None)


def _laid(images: Tensor) -> Tensor:
    """Images channels-last also where there is one channel: both layouts are then the same memory, but their strides say
    what layout the convolution puts out."""
    if images.ndim != 4 or images.shape[1] > 1 or not images.is_contiguous():
        return images
    n, _, height, width = images.shape
    return images.as_strided((n, 1, height, width), (height * width, 1, width, 1))
