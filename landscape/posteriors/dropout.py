"""Monte Carlo dropout: a network trained with dropout, and the same dropout kept for predictions (Gal and Ghahramani 2016).

A unit that is dropped is a column of zeros in the next linear layer, so every mask is a network of its own in weight space:
a draw is one mask for all examples. For one example that is the same distribution as a mask of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landscape.errors import BadInput, Diverged
from landscape.networks.accelerator import numbers
from landscape.networks.architectures import initial_weights
from landscape.networks.net import Net, stack
from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.method import Draws, Given, Watch, silent
from landscape.posteriors.space import weight_space
from landscape.posteriors.swag import check
from landscape.schedules import linear
from landscape.training import sgd
from landscape.training.task import Task

MASKS = 8  # different ones in a step of training, each for its share of the batch
BLOCK_BYTES = 2**25


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent, drop: float = 0.1,
          epochs: int = 40, lr: float = 0.1, batch_size: int = 128, momentum: float = 0.9) -> Draws:
    """Train a network with dropout from a new start, then ``chains`` x ``draws`` masked copies of it.

    ``drop``: the probability of a hidden unit to be dropped. With ``epochs`` 0 the first trained network is taken as it is;
    it has not learned to do without its units, which is said.
    """
    check(draws, chains)
    if given.task is None:
        raise BadInput("Dropout needs a task to train a network for.")
    if not 0 < drop < 1 or epochs < 0 or (epochs and not (lr > 0 and batch_size > 0)):
        raise BadInput(f"Dropout needs a probability between 0 and 1, and epochs, lr and batch_size that are not negative; "
                       f"found drop={drop:g}, epochs={epochs}, lr={lr:g}, batch_size={batch_size}.")
    layers = droppable(given.task.net)
    if epochs:
        w = _trained(given.task, layers, drop, generator, watch, epochs + draws, epochs=epochs, lr=lr, batch_size=batch_size,
                     momentum=momentum)
        said = [f"A network trained for {epochs} epochs with dropout of {100 * drop:g} % of the hidden units, as in each "
                "draw."]
    elif given.networks is None or not len(given.networks):
        raise BadInput("Dropout with 0 epochs needs a trained network, and none was handed over. Train for some epochs.")
    else:
        w = given.networks[0]
        said = [f"Each draw drops {100 * drop:g} % of the hidden units of a network that was trained without dropout: it "
                "shows how much the network depends on single units, not what it is uncertain of."]
    w = w.double()
    block, parts = max(1, min(100, BLOCK_BYTES // (8 * len(w) * chains))), []
    for start in range(0, draws, block):
        size = min(block, draws - start)
        masks = masks_of(layers, len(w), chains * size, drop, generator).to(w)
        parts.append((w * masks - w).view(chains, size, len(w)))
        watch(epochs + start + size, epochs + draws, parts[-1])
    z = torch.cat(parts, 1)
    info = {"said": said, "gradient_evaluations": epochs, "network": w.cpu().numpy()}
    return Draws(z, torch.full(z.shape[:2], torch.nan, dtype=torch.float64), weight_space(w), info)


def droppable(net: Net) -> list[tuple[int, int, int]]:
    """``(start, outputs, inputs)`` in the flat weights of linear layers that are fed by hidden units.

    Raises BadInput where there is none.
    """
    starts = dict(zip(net.names, [sum(net.sizes[:i]) for i in range(len(net.sizes))], strict=True))
    found = []
    for name, module in net.module.named_modules():
        weight = f"{name}.weight" if name else "weight"
        if isinstance(module, nn.Linear) and starts.get(weight, 0) > 0:
            found.append((starts[weight], *module.weight.shape))
    if not found:
        raise BadInput("Dropout needs a linear layer behind a hidden one, and this network has none. Choose another "
                       "network, or another method.")
    return found


def masks_of(layers: list[tuple[int, int, int]], size: int, count: int, drop: float, generator: torch.Generator) -> Tensor:
    """Factors (count, P) for weights: 0 behind a dropped unit, 1 / (1 - drop) behind the others, 1 elsewhere."""
    masks = torch.ones(count, size)
    for start, outputs, inputs in layers:
        kept = (torch.rand(count, inputs, generator=generator) >= drop).float() / (1 - drop)
        masks[:, start : start + outputs * inputs] = kept[:, None].expand(-1, outputs, -1).flatten(1)
    return masks


def _trained(task: Task, layers, drop: float, generator: torch.Generator, watch: Watch, total: int, **options) -> Tensor:
    """Weights (P,) after SGD on the mean over masks of the penalised loss; the rate falls linearly as the talk's."""
    x, y = task.splits["train"]
    w = initial_weights(task.net.module, generator).to(x.device, task.dtype)
    seed = int(torch.randint(2**31, (), generator=generator))

    def objective(parameters, buffers, indices, epoch, step):
        indices = indices[0]
        groups = max(g for g in range(1, MASKS + 1) if len(indices) % g == 0)
        masks = masks_of(layers, len(w), groups, drop, generator).to(parameters)
        scratch = stack([task.net.buffers] * groups) or None
        own = indices.view(groups, -1)
        outputs = task.net.each(parameters * masks, x[own], scratch, training=True)
        nll = task.likelihood.nll(outputs, y[own]).mean()[None]
        return nll + task.penalty(parameters), nll

    with one_thread(x.device), numbers(x.device):
        state = sgd.run(sgd.start(w[None]), objective, examples=len(x), seeds=[seed], schedule=linear,
                        after_epoch=lambda state: watch(state.epoch, total, None), **options)
    if state.diverged:
        raise Diverged(f"Training with dropout diverged in epoch {state.diverged[0]}. Lower its learning rate "
                       f"({options['lr']:g}).")
    return state.parameters[0].detach()
