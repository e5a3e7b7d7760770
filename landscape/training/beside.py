"""Logits of many networks whose examples lie beside each other, judged in a few passes (see ``networks.compiled``)."""

import math

from torch import Tensor


def wrong(logits: Tensor, y: Tensor) -> Tensor:
    """1 where the largest logit (..., B, C) is not the label's (..., B); a row with a non-finite logit counts as wrong."""
    return ((logits.argmax(-1) != y) | ~logits.isfinite().all(-1)).to(logits.dtype)


def judged(logits: Tensor, y: Tensor, labels: Tensor, without: Tensor, least: float, large: float,
           most: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy and error (N, W) of logits (N, C, W), which are overwritten; y (W,) are the classes.

    The logits become what they are above the label's own, which is then left out: the largest says whether the label wins,
    and the loss is log(1 + the sum of exponentials). Where the largest is 0, or one is not finite, ``wrong`` decides.
    ``labels`` (W,) are the places of the labels' own logits among the C W of a network, ``without`` (C, W) is -inf there
    and else 0. Exponents end at ``least``; above ``large``, up to ``most``, they are taken off before and added behind.
    """
    finite, own = math.isfinite(float(logits.sum())), logits.flatten(1).index_select(1, labels)
    ahead = logits.sub_(own.unsqueeze(1)).add_(without).amax(1)
    error = ahead.sign()
    if finite and float(error.square().sum()) == error.numel():
        error.clamp_(min=0)
    else:
        error = wrong(logits.scatter(1, y.expand(logits.size(0), 1, -1), 0.0).transpose(1, 2), y)
    far, beyond = not float(ahead.max()) < large, ahead
    if far:  # else no sum is infinite
        beyond = ahead.sub_(large).clamp_(0, most)
        logits.sub_(beyond.unsqueeze(1))
    nll = logits.clamp_(min=least).exp_().sum(1).log1p_()
    if far:
        nll.add_(beyond)
    if not finite:
        nll.masked_fill_(own == math.inf, math.nan)
    return nll, error
