"""What one pass of a network costs, measured on a few examples: numbers computed, memory, the shape of the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from landscape.errors import BadInput
from landscape.networks.net import Buffers, Net

EXAMPLES = 4  # enough to see which axis counts them
CACHE = 4 * 2**20  # bytes of the widest layer's outputs that a core works on without going to memory
DEVICE = 2**29  # the same on an accelerator, where large batches pay
FEWEST, MOST = 8, 512  # examples of one pass


@dataclass(frozen=True, eq=False)
class Probe:
    """``outputs`` (k, ...) on the first k examples; ``flops`` of one example (two for a multiply-add, in matrix products,
    convolutions and attention; where none is seen, as in an exported program, two for each parameter); ``widest`` the
    bytes of the largest intermediate result for one example. ``layout`` is how the numbers of an example should lie in
    memory: with channels last, which convolutions are faster on, if they may.
    """

    outputs: Tensor
    flops: float
    widest: float
    layout: torch.memory_format = torch.contiguous_format

    @property
    def batch(self) -> int:
        """How many examples a pass should take at a time on the outputs' device."""
        room = CACHE if self.outputs.device.type == "cpu" else DEVICE
        return int(min(MOST, max(FEWEST, room // max(1.0, self.widest))))


class _Counting(TorchFunctionMode):
    """Counts what matrix products, convolutions and attention compute, and notes the largest tensor that is made.

    At the level of the functions modules call: what happens inside a fused recurrent layer is not seen.
    """

    def __init__(self, w: Tensor):
        super().__init__()
        self.flops, self.widest, self._weights = 0, 0, w.untyped_storage().data_ptr()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "").strip("_")
        for each in (made if isinstance(made, tuple | list) else (made,)) if name not in COPIES else ():
            if isinstance(each, Tensor) and each.untyped_storage().data_ptr() != self._weights:
                self.widest = max(self.widest, each.numel() * each.element_size())
        count = PRODUCTS.get(name)
        if count is not None and isinstance(made, Tensor):
            tensors = [a for a in (*args, *(kwargs or {}).values()) if isinstance(a, Tensor)]
            self.flops += 2 * count(made, *tensors)
        return made


def _per_weight(out: Tensor, x: Tensor, weight: Tensor, *_: Tensor) -> int:
    return out.numel() * weight[0].numel()


def _transposed(out: Tensor, x: Tensor, weight: Tensor, *_: Tensor) -> int:
    return x.numel() * weight[0].numel()


def _attention(out: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Tensor) -> int:
    return q.numel() * k.shape[-2] + out.numel() * k.shape[-2]


COPIES = ("clone", "deepcopy", "get")  # of the module, the first time it is called in this way
# function -> multiply-adds of its result
PRODUCTS = {
    "linear": _per_weight, "conv1d": _per_weight, "conv2d": _per_weight, "conv3d": _per_weight,
    "conv_transpose1d": _transposed, "conv_transpose2d": _transposed, "conv_transpose3d": _transposed,
    **dict.fromkeys(("matmul", "rmatmul", "mm", "bmm", "mv"), lambda out, a, b: out.numel() * a.shape[-1]),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm"), lambda out, start, a, b: out.numel() * a.shape[-1]),
    "scaled_dot_product_attention": _attention,
}


@torch.no_grad()
def probed(net: Net, w: Tensor, x: Tensor, buffers: Buffers | None = None) -> Probe:
    """One pass over the first examples of x (n, ...), in evaluation mode. Raises BadInput if the network refuses them."""
    x = x[:EXAMPLES]
    counting = _Counting(w)
    try:
        with counting:
            outputs = net(w, x, buffers)
    except BadInput:
        raise
    except Exception as error:  # the user's own code, or shapes that do not fit
        lines = str(error).strip().splitlines() or [""]
        raise BadInput(f"The network does not take examples of shape {tuple(x.shape[1:])} ({type(error).__name__}: "
                       f"{lines[0][:300]}). Give the data it was trained on, or a factory whose forward takes this "
                       "shape.") from error
    if outputs.shape[:1] != x.shape[:1]:
        raise BadInput(f"The network puts out {tuple(outputs.shape)} for {len(x)} examples; the first axis must count the "
                       "examples. Let the factory return a module that does.")
    flops = counting.flops / len(x) or 2.0 * net.size
    return Probe(outputs, flops, counting.widest / len(x), _layout(net, w, x, buffers, outputs))


def _layout(net: Net, w: Tensor, x: Tensor, buffers: Buffers | None, outputs: Tensor) -> torch.memory_format:
    """Channels last for images with channels, if the network takes them so and puts out the same."""
    if x.ndim != 4 or x.shape[1] < 2:
        return torch.contiguous_format
    try:
        other = net(w, x.contiguous(memory_format=torch.channels_last), buffers)
    except RuntimeError:  # forward functions with view() need them first
        return torch.contiguous_format
    same = other.shape == outputs.shape and torch.allclose(other, outputs, rtol=1e-3, atol=1e-3 * float(outputs.abs().max()))
    return torch.channels_last if same else torch.contiguous_format
