"""Reads the permutation symmetries of a network off its computation.

The module is traced with torch.fx and run once on a few examples. Every axis of every parameter starts with units of its
own; an operation says which axes must agree (the columns of a linear layer and what it is fed with, the two sides of an
addition), and unification does the rest. What is not understood stays in place, together with everything it touches.
"""

from __future__ import annotations

from torch import Tensor, fx, no_grad

from landscape.errors import BadInput
from landscape.geometry import operations
from landscape.geometry.permutations import Segment, Structure
from landscape.geometry.spaces import Axis, Spaces
from landscape.networks.accelerator import exact
from landscape.networks.net import Net

Layout = dict[int, Axis]  # what lies along an axis of a value; an axis that is not named never changes


def traced(net: Net) -> fx.Graph:
    """The computation of the module, layers of torch.nn as single steps. Raises BadInput where it depends on values."""
    try:
        return fx.Tracer().trace(net.module)
    except Exception as error:
        raise BadInput(
            f"The symmetries of a network are read off its forward pass, and that of {type(net.module).__name__} cannot be "
            f"traced ({error}). It needs a forward without branches or loops that depend on the values of tensors."
        ) from error


class Walk(fx.Interpreter):
    """Runs a traced module on examples; ``layouts`` and ``shapes`` say what each value looks like."""

    def __init__(self, net: Net):
        super().__init__(fx.GraphModule(net.module, traced(net)))
        self.spaces = Spaces()
        self.layouts: dict[fx.Node, Layout] = {}
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.tensors = dict(net.module.named_parameters()) | dict(net.module.named_buffers())
        self.names = {id(t): name for name, t in self.tensors.items()}
        self.known: dict[str, Layout] = {}
        self.fixed: list[str] = []

    def run_node(self, n: fx.Node):
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        self.layouts[n] = self._layout(n, result)
        return result

    def layout_of(self, tensor: Tensor | None) -> Layout:
        """Units along the axes of a parameter or buffer, the same however often it is used; nothing for others."""
        name = None if tensor is None else self.names.get(id(tensor))
        if name is None:
            return {}
        if name not in self.known:
            self.known[name] = {d: self.spaces.fresh(size) for d, size in enumerate(tensor.shape) if size > 1}
        return self.known[name]

    def join(self, *axes: Axis | None) -> Axis | None:
        """What lies along an axis when all of these must agree; None is what stays in place."""
        if any(axis is None for axis in axes):
            for axis in axes:
                if axis is not None:
                    self.spaces.pin(axis)
            return None
        for axis in axes[1:]:
            self.spaces.unify(axes[0], axis)
        return axes[0]

    def pin(self, n: fx.Node, reason: str) -> None:
        """All that feeds a node stays in place, and the units of the node's own weights."""
        layouts = [self.layouts[source] for source in n.all_input_nodes]
        if n.op == "call_module":
            layouts += [self.layout_of(tensor) for tensor in self.fetch_attr(n.target).parameters()]
        free = any(self.spaces.free(axis) for layout in layouts for axis in layout.values())
        self.join(None, *(axis for layout in layouts for axis in layout.values()))
        if free and reason not in self.fixed:
            self.fixed.append(reason)

    def _layout(self, n: fx.Node, result) -> Layout:
        if n.op == "placeholder":
            return {}
        if n.op == "get_attr":
            return dict(self.layout_of(result))
        if n.op == "output":
            for source in n.all_input_nodes:
                self.join(None, *self.layouts[source].values())
            return {}
        if n.op == "call_module":
            layer = self.fetch_attr(n.target)
            name, rule = f"{n.target} ({type(layer).__name__})", operations.for_layer(layer)
        else:
            layer, name, rule = None, operations.called(n), operations.for_call(n)
        if not isinstance(result, Tensor) and all(not self.layouts[source] for source in n.all_input_nodes):
            return {}
        try:
            found = rule(self, n, layer) if rule else None
        except operations.NotUnderstood:
            found = None
        if found is None:
            self.pin(n, f"{name} keeps its units, and those that feed it, in their places.")
            return {}
        return {d: axis for d, axis in found.items() if axis is not None and self.shapes[n][d] > 1}


def permutation_structure(net: Net, x: Tensor) -> Structure:
    """The hidden units of a network that can change places without changing its function; ``x`` (n, ...) are examples.

    Understands Linear, convolutions, batch, group, layer and instance normalisation, embeddings, elementwise functions,
    pooling, dropout, reshapes, additions and concatenation. Units that feed anything else stay in place, which ``fixed``
    says. Raises BadInput where the forward pass cannot be traced or does not run.
    """
    walk = Walk(net)
    try:
        with no_grad(), exact(x.device):
            walk.run(x[:2])
    except RuntimeError as error:
        raise BadInput(f"The symmetries of {type(net.module).__name__} could not be read off a run on examples of shape "
                       f"{tuple(x.shape)}: {str(error).splitlines()[0]}. Check that the network takes such examples."
                       ) from error
    order = [*net.names, *(name for name in walk.tensors if name not in net.names)]
    resolved = {name: {d: walk.spaces.resolve(axis) for d, axis in walk.known.get(name, {}).items()} for name in order}
    used = _named(walk.spaces, resolved)
    axes = {}
    for name, layout in resolved.items():
        segments = {d: tuple(Segment(used.get(root), walk.spaces.sizes[root], block) for root, block in axis)
                    for d, axis in layout.items()}
        axes[name] = {d: s for d, s in segments.items() if any(part.space is not None for part in s)}
    return Structure({name: walk.spaces.sizes[root] for root, name in used.items()},
                     {name: walk.spaces.groups[root] for root, name in used.items() if walk.spaces.groups.get(root, 1) > 1},
                     {name: found for name, found in axes.items() if found}, tuple(walk.fixed))


def _named(spaces: Spaces, layouts: dict[str, Layout]) -> dict[int, str]:
    """Names of the spaces that are free: the first layer of which they are the first axis, with a number where needed."""
    along = [(d, name, root) for name, layout in layouts.items() for d, axis in layout.items() for root, _ in axis]
    named: dict[int, str] = {}
    for _, name, root in sorted(along, key=lambda found: found[0] > 0):
        if root not in named and spaces.free(((root, 1),)):
            layer = name.rpartition(".")[0] or name
            count = sum(given.split(" ")[0] == layer for given in named.values())
            named[root] = f"{layer} {count + 1}" if count else layer
    return named
