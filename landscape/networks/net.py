"""``Net``: any module as a function of a flat weight vector. The only place that calls ``functional_call``."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.errors import BadInput
from landscape.networks import dense
from landscape.networks.accelerator import exact, mixed

Buffers = dict[str, Tensor]


class Net:
    """A module without weights: ``net(w, x)`` with w in ``module.parameters()`` order.

    The module handed in is copied and never changed: not its parameters, buffers or mode. Tied parameters appear once
    in ``w``. Evaluation runs with dropout off and stored BatchNorm statistics; ``training=True`` runs the module in
    training mode, updating the ``buffers`` handed in. Several networks that are no stack of linear layers run one after the
    other on a CPU and all at once (``many``) on a GPU, or wherever ``together`` says so, if the module allows it.
    """

    def __init__(self, module: nn.Module, together: bool | None = None):
        self.together, self._goes = together, {}
        self._original = copy.deepcopy(module).requires_grad_(False).eval()
        named = dict(self._original.named_parameters())
        self.names = tuple(named)
        self.shapes = tuple(p.shape for p in named.values())
        self.sizes = [p.numel() for p in named.values()]
        self.size = sum(self.sizes)
        self.layers = dense.layers_of(self._original)
        self.batchnorm = any(isinstance(m, _BatchNorm) and m.track_running_stats for m in self._original.modules())
        self._modules = threading.local()

    @property
    def module(self) -> nn.Module:
        """The copy that was made of the module, to read its structure off; never to be changed."""
        return self._original

    @property
    def initial(self) -> Tensor:
        """The weights the module came with, (P,)."""
        return torch.cat([p.detach().reshape(-1) for p in self._original.parameters()])

    @property
    def dtype(self) -> torch.dtype:
        """The numbers the module's weights came in."""
        return next((p.dtype for p in self._original.parameters()), torch.float32)

    @property
    def buffers(self) -> Buffers:
        """A copy of the buffers the module came with (BatchNorm statistics and the user's own)."""
        return {name: b.detach().clone() for name, b in self._original.named_buffers()}

    def unflatten(self, w: Tensor) -> Mapping[str, Tensor]:
        """Named parameters, views of w: shapes (*n, *shape) for w (*n, P)."""
        if w.shape[-1] != self.size:
            raise ValueError(f"expected weights with {self.size} entries in the last axis, found shape {tuple(w.shape)}")
        pieces = w.split(self.sizes, dim=-1)
        return {
            n: p.unflatten(-1, s) if len(s) else p.squeeze(-1)
            for n, p, s in zip(self.names, pieces, self.shapes, strict=True)
        }

    def flatten(self, module: nn.Module) -> Tensor:
        """The weights of a module of the same architecture, (P,)."""
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])

    def __call__(self, w: Tensor, x: Tensor, buffers: Buffers | None = None, training: bool = False) -> Tensor:
        """Outputs (B, ...) for w (P,), (N, B, ...) for w (N, P) on shared x.

        ``buffers`` are those of one network, or with a leading axis N one set for each; default the module's own.
        """
        if w.ndim == 1:
            return self._one(w, x, self.buffers if buffers is None else buffers, training)
        if self.layers:
            return dense.forward(self.layers, w, x.flatten(1))
        if self.at_once(x) and self.refused(x, training) is None:
            return self.many(w, x, buffers, "training" if training else "evaluation")
        return torch.stack(
            [self._one(v, x, self.buffers if buffers is None else row(buffers, i, self), training) for i, v in enumerate(w)]
        )

    def each(self, w: Tensor, x: Tensor, buffers: Buffers | None = None, training: bool = False) -> Tensor:
        """Outputs (N, B, ...) of network i on its own batch x[i]; w (N, P), x (N, B, ...), buffers (N, ...)."""
        if self.layers:
            return dense.forward(self.layers, w, x.flatten(2))
        if self.at_once(x) and self.refused(x[0], training) is None:
            return self.many(w, x, buffers, "training" if training else "evaluation", own=True)
        return torch.stack(
            [
                self._one(w[i], x[i], self.buffers if buffers is None else row(buffers, i, self), training)
                for i in range(len(w))
            ]
        )

    def many(self, w: Tensor, x: Tensor, buffers: Buffers | None = None, mode: str = "evaluation", own: bool = False,
             ) -> Tensor:
        """Outputs (N, B, ...) of w (N, P) in one call for all (``torch.func.vmap``) on shared x, or ``own`` x (N, B, ...).

        In training mode the ``buffers`` handed in, which then have a leading axis N, are updated. ``refused`` says whether
        the module can be run so.
        """
        module, given = self._module(mode), self.buffers if buffers is None else buffers
        dims = {name: 0 if given[name].ndim > b.ndim else None for name, b in self._original.named_buffers()}
        given = {name: given[name] for name in dims}
        moved = mode != "evaluation" and any(dim == 0 for dim in dims.values())

        def one(named: Buffers, held: Buffers, inputs: Tensor) -> tuple[Tensor, Buffers]:
            found = outputs_of(functional_call(module, (named, held), (inputs,)))
            return found, ({name: b for name, b in held.items() if dims[name] == 0} if moved else {})

        with exact(x.device):
            several = vmap(one, (0, dims, 0 if own else None), randomness="different")
            found, after = several(dict(self.unflatten(w)), given, x)
        for name, b in after.items():
            if b.data_ptr() != given[name].data_ptr():
                given[name].copy_(b)
        return found

    def refused(self, x: Tensor, training: bool = False) -> str | None:
        """Why several networks cannot run at once on examples like x (B, ...), None if they can: it is tried, and the
        outputs of two networks are held against those of each alone, not in a lower precision."""
        key = (tuple(x.shape[1:]), x.dtype, x.device, training)
        if key not in self._goes:
            with mixed(x.device, "float32"):
                self._goes[key] = self._tried(x[:4], training)
        return self._goes[key]

    @torch.no_grad()
    def _tried(self, x: Tensor, training: bool) -> str | None:
        if training and any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p for m in self._original.modules()):
            return "it has dropout, whose random numbers would be others"
        start, mode = self.initial.to(x.device), "training" if training else "evaluation"
        w = torch.stack([start, 0.9 * start])
        try:
            alone, together = ([{n: b.clone() for n, b in self.buffers.items()} for _ in w] for _ in range(2))
            expected = torch.stack([self._one(v, x, b, training) for v, b in zip(w, alone, strict=True)])
            stacked = stack(together)
            found = self.many(w, x, stacked, mode)
            pairs = [(found, expected), *((stacked[n], b) for n, b in stack(alone).items())]
            same = all(_alike(a, b) for a, b in pairs)
        except Exception as error:  # whatever a foreign forward raises: it is then run as it is
            return f"it could not be run for several networks at once: {type(error).__name__}"
        return None if same else "several networks at once do not give the outputs of each"

    def at_once(self, x: Tensor) -> bool:
        """Whether several networks are to run at once where x is."""
        return x.device.type == "cuda" if self.together is None else self.together

    def estimate_many(self, w: Tensor, batches: Sequence[Tensor], buffers: Buffers | None = None,
                      biased: bool = False) -> Buffers:
        """``estimate_batchnorm`` of w (N, P) in one call for each batch: buffers with a leading axis N."""
        given = {name: b.expand(len(w), *b.shape).clone() if b.ndim == like.ndim else b.clone()
                 for (name, like), b in zip(self._original.named_buffers(), self._ordered(buffers), strict=True)}
        norms = self._norms(self._module("several"))
        for prefix in norms:
            given[f"{prefix}running_mean"].zero_()
            given[f"{prefix}running_var"].fill_(1)
            if f"{prefix}num_batches_tracked" in given:
                given[f"{prefix}num_batches_tracked"].zero_()
        for k, x in enumerate(batches):
            for child in norms.values():
                child.momentum = 1 / (k + 1)  # so that what is kept is the mean of the batches
            self.many(w, x, given, "several")
        for prefix, child in norms.items() if biased else ():
            given[f"{prefix}running_var"].mul_((child.counted - 1) / child.counted)
        return given

    def many_on_own_statistics(self, w: Tensor, x: Tensor, buffers: Buffers | None = None) -> Tensor:
        """``on_own_statistics`` of w (N, P): outputs (N, B, ...)."""
        held = {name: b.expand(len(w), *b.shape).clone() for name, b in
                zip((n for n, _ in self._original.named_buffers()), self._ordered(buffers), strict=True)}
        for child in self._norms(self._module("several")).values():
            child.momentum = 1.0
        return self.many(w, x, held, "several")

    def _ordered(self, buffers: Buffers | None) -> list[Tensor]:
        found = self.buffers if buffers is None else buffers
        return [found[name] for name, _ in self._original.named_buffers()]

    @staticmethod
    def _norms(module: nn.Module) -> dict[str, nn.Module]:
        """BatchNorm layers by the prefix of their buffers."""
        return {f"{name}." if name else "": child for name, child in module.named_modules()
                if isinstance(child, _BatchNorm) and child.track_running_stats}

    def estimate_batchnorm(self, w: Tensor, batches: list[Tensor], buffers: Buffers | None = None,
                           biased: bool = False) -> Buffers:
        """Buffers with BatchNorm statistics re-estimated for w (P,) on fixed batches; the others as given.

        The mean over the batches of each batch's mean and unbiased variance, every layer fed by inputs that the layers
        before normalised with the same batch's statistics: what ``update_bn`` with momentum=None gives. With one batch
        it is the exact two-pass statistics of that batch. Dropout stays off. ``biased`` is for one batch: its variances
        divide by n, not n - 1, so that the network puts out on it what ``on_own_statistics`` does.
        """
        buffers = {name: b.clone() for name, b in (self.buffers if buffers is None else buffers).items()}
        module = self._module("statistics")
        norms = self._norms(module)
        for prefix in norms:
            buffers[f"{prefix}running_mean"].zero_()
            buffers[f"{prefix}running_var"].fill_(1)
            if f"{prefix}num_batches_tracked" in buffers:
                buffers[f"{prefix}num_batches_tracked"].zero_()
        named = self.unflatten(w)
        with exact(w.device):
            for x in batches:
                functional_call(module, (dict(named), buffers), (x,))
        for prefix, child in norms.items() if biased else ():
            buffers[f"{prefix}running_var"].mul_((child.counted - 1) / child.counted)
        return buffers

    def on_own_statistics(self, w: Tensor, x: Tensor, buffers: Buffers | None = None) -> Tensor:
        """Outputs (B, ...) of w (P,) on x, BatchNorm with the statistics of x itself: in one pass what
        ``estimate_batchnorm(w, [x], biased=True)`` and an evaluation give in two."""
        buffers = {name: b.clone() for name, b in (self.buffers if buffers is None else buffers).items()}
        with exact(w.device):
            return outputs_of(functional_call(self._module("statistics"), (dict(self.unflatten(w)), buffers), (x,)))

    def to(self, device=None, dtype=None) -> Net:
        """The same network on another device or in another precision."""
        return Net(copy.deepcopy(self._original).to(device=device, dtype=dtype), self.together)

    def _one(self, w: Tensor, x: Tensor, buffers: Buffers, training: bool) -> Tensor:
        mode = "training" if training else "evaluation"
        with exact(w.device):
            return outputs_of(functional_call(self._module(mode), (dict(self.unflatten(w)), buffers), (x,)))

    def _module(self, mode: str) -> nn.Module:
        """This thread's copy in the mode asked for (``functional_call`` swaps attributes, so threads must not share)."""
        if not hasattr(self._modules, mode):
            shared = {id(p): p for p in self._original.parameters()}  # those of a call take their place
            module = copy.deepcopy(self._original, shared).train(mode == "training")
            if mode in ("statistics", "several"):
                for child in module.modules():
                    if isinstance(child, _BatchNorm):
                        child.train()
                        child.momentum = None if mode == "statistics" else 1.0
                        child.register_forward_hook(_count)
            elif mode == "training":
                for child in module.modules():
                    if isinstance(child, _BatchNorm):
                        child.register_forward_pre_hook(_in_its_own)
            setattr(self._modules, mode, module)
        return getattr(self._modules, mode)


def _in_its_own(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """BatchNorm's inputs in the numbers of its statistics, where a convolution in mixed precision gave others: kernels that
    take both are not there for every device and for several networks at once."""
    own = module.weight if module.running_mean is None else module.running_mean
    return inputs if own is None else (inputs[0].to(own.dtype), *inputs[1:])


def _count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
    """Note how many numbers of a channel its statistics were made of."""
    module.counted = out.numel() // out.shape[1]


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Equal up to what sums in another order may change."""
    if not expected.is_floating_point():
        return torch.equal(found, expected)
    near = max(1e-3, 16 * torch.finfo(expected.dtype).eps)
    return torch.allclose(found.double(), expected.double(), rtol=near,
                          atol=near * float(expected.double().abs().max()) + 1e-12)


def outputs_of(found) -> Tensor:
    """The tensor a module puts out, or the ``logits`` of what it puts out (as models of transformers do)."""
    if isinstance(found, Tensor):
        return found
    logits = found.get("logits") if isinstance(found, Mapping) else getattr(found, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    raise BadInput(f"A network must put out a tensor, or something with a tensor called logits; this one puts out "
                   f"{type(found).__name__}. Let the factory return a module whose forward returns its predictions alone.")


def row(buffers: Buffers, i: int, net: Net) -> Buffers:
    """The buffers of network i: its row where there is one set for each, the shared ones otherwise (views, not copies)."""
    own = dict(net._original.named_buffers())
    return {name: b[i] if b.ndim > own[name].ndim else b for name, b in buffers.items()}


def stack(buffers: list[Buffers]) -> Buffers:
    """One set of buffers with a leading axis for each network."""
    return {name: torch.stack([b[name] for b in buffers]) for name in buffers[0]} if buffers else {}
