"""What a form asks for, in words, before it is run."""

from __future__ import annotations

from landscape.catalog import METHODS
from landscape.figures.methods import look
from landscape.settings_posterior import Posterior


def units(settings: Posterior) -> str:
    """What temperature and prior scale are measured in."""
    if settings.prior == "weights":
        length = "weight distance"
    elif settings.scaling == "unit":
        length = "coordinates, and one of them is 1 in weight distance"
    else:
        length = "coordinates, and one of them is a standard deviation of the snapshots (on a curve's plane, of its points)"
    return (
        f"Temperature {settings.temperature:g} divides the log-likelihood, a sum over the training examples in nats; 1 is "
        f"Bayes' rule. Prior std {settings.prior_std:g} is in units of {length}. Methods over all weights take the prior "
        "that weight decay stands for, unless weights_prior_std says otherwise."
    )


def without_subspace(settings: Posterior) -> str:
    """Why there will be no subspace, and which methods will fail with it."""
    inside = [look(name).title for name in settings.methods if METHODS[name].defaults["over"] == "subspace"]
    left = f"{' and '.join(inside)} will fail" if inside else "there will be no stage"
    return f"{settings.unspanned} As it is, {left}, and the methods that need no subspace will run."
