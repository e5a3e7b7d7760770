"""The steps of a network in fewer passes over memory: a convolution takes along what follows it, element by element.

A ReLU, a BatchNorm that is folded anyway, an addition to something that nobody needs any more and whose memory takes the
sum: oneDNN does them while the convolution's results are still in registers. And images that lie channels-last are not
copied to be flattened: the weights of the linear layer behind are put into the order in which the numbers lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from landscape.networks.steps import Step

Shapes = Mapping[int, tuple[int, ...]]  # of each step's output, for some number of examples
MAKERS = ("conv", "linear", "norm", "group", "relu", "add")  # kinds whose output no other value shows


def possible(dtype: torch.dtype) -> bool:
    """Whether this torch has such convolutions: float32, on a processor that oneDNN knows."""
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")
    return dtype == torch.float32 and known


def fused(steps: Sequence[Step], shapes: Shapes) -> tuple[Step, ...]:
    """Steps with the same outputs."""
    program = _Program(steps, shapes)
    made, gone = [], set()
    for step in steps:
        if step.out not in gone:
            chain = program.followers(step)
            gone.update(follower.out for follower in chain)
            made.append(_together(step, chain))
    return tuple(program.unflattened(made))


class _Program:
    """Steps, and who uses what when."""

    def __init__(self, steps: Sequence[Step], shapes: Shapes):
        self.at, self.shapes = {step.out: step for step in steps}, shapes
        self.users = {step.out: [user for user in steps if step.out in user.sources] for step in steps}
        self.moment = {step.out: i for i, step in enumerate(steps)}

    def followers(self, conv: Step) -> list[Step]:
        """What a convolution can take along, in order: a folded BatchNorm, an addition, a ReLU."""
        if conv.kind != "conv" or type(conv.layer) is not nn.Conv2d or isinstance(conv.layer.padding, str):
            return []
        chain, last = [], conv
        while len(self.users[last.out]) == 1 and last.kind != "relu":
            (following,) = self.users[last.out]
            added = following.kind == "add" and self._takes_sum(_other(following, last), following, conv)
            if not (added or following.kind == "relu" or (following.kind == "norm" and following.into == conv.out)):
                break
            chain.append(following)
            last = following
        while chain and chain[-1].kind == "norm":  # is folded in any case
            chain.pop()
        return chain

    def _takes_sum(self, place: int, addition: Step, conv: Step) -> bool:
        """Whether the sum can go into the memory of a value: nobody else needs it from the convolution on."""
        now, others = self.moment[conv.out], [step for step in self.users[place] if step is not addition]
        before = self.moment[place] < now and all(self.moment[step.out] < now for step in others)
        unseen = all(step.kind in MAKERS for step in (self.at[place], *others))
        return before and unseen and self.shapes[place] == self.shapes[conv.out]

    def unflattened(self, steps: Sequence[Step]) -> list[Step]:
        """The same where flattened images feed nothing but a linear layer: numbers stay where they are."""
        made, order = [], {}
        for step in steps:
            if self._flattens(step) and [user.kind for user in self.users[step.out]] == ["linear"]:
                source = step.sources[0]
                order[self.users[step.out][0].out] = self.shapes[source][1:]
                step = replace(step, call=lambda values, source=source: values[source].permute(0, 2, 3, 1).flatten(1))
            made.append(replace(step, order=order[step.out]) if step.out in order else step)
        return made

    def _flattens(self, step: Step) -> bool:
        """Whether a call puts images (n, C, H, W) into rows (n, C H W), whatever it is called: tried on counted numbers."""
        shape = self.shapes[step.sources[0]] if len(step.sources) == 1 else ()
        if step.kind != "call" or len(shape) != 4 or self.shapes[step.out] != (shape[0], shape[1] * shape[2] * shape[3]):
            return False
        counted = torch.arange(shape[0] * shape[1] * shape[2] * shape[3], dtype=torch.float32).view(shape)
        values: list[Tensor | None] = [None] * (max(self.at) + 1)
        values[step.sources[0]] = counted
        return torch.equal(step.call(values), counted.flatten(1))


def _other(addition: Step, source: Step) -> int:
    """What is added to a source."""
    first, second = addition.sources
    return second if first == source.out else first


def _together(conv: Step, chain: Sequence[Step]) -> Step:
    if not chain:
        return conv
    last, plus = conv, None
    for step in chain:
        plus = _other(step, last) if step.kind == "add" else plus
        last = step
    inner = {step.out for step in (conv, *chain)}
    ends = tuple(place for step in (conv, *chain) for place in step.ends if place not in inner)
    return replace(conv, out=last.out, weights=conv.out, relu=last.kind == "relu", plus=plus, ends=ends)


def in_order(weight: Tensor, order: tuple[int, int, int]) -> Tensor:
    """Weights (out, C H W) of a linear layer for numbers that lie (H, W, C)."""
    return weight.unflatten(1, order).permute(0, 2, 3, 1).flatten(1)
