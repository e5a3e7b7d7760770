"""A network that was kept: one point of another run, in a file of its own that opens without that run and this program."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import Tensor

from landscape import catalog, settings
from landscape.errors import BadInput
from landscape.networks.net import Buffers, Net
from landscape.recipes.opening import judged
from landscape.recipes.places import Places, places_of
from landscape.results import Summary
from landscape.runs.where import parse_where

NAME = "network"


def compute(s: settings.Network, context) -> None:
    """Saves the weights ``network`` (a named state dict; metadata: ``recipe``, ``settings``, ``source``, ``where``) and
    ``summary``: the same, the metrics and how BatchNorm was treated. The source is a parent: kept as long as this run."""
    context.plan([("network", 1.0)])
    source = context.other(s.source)
    recipe, of_source = trained_with(source)
    places = places_of(source)
    place = places.at(parse_where(source.key, s.where))
    context.link(source.key)
    made = {"recipe": recipe, "settings": of_source.canonical(), "source": source.key, "where": s.where}
    with torch.no_grad():
        values, _, _ = judged(places.task, place)
    context.save_weights(NAME, state_dict(places.task.net, place.w, place.buffers), made)
    told = {"key": context.key, "title": place.title, "parameters": places.task.net.size, "batchnorm": place.batchnorm}
    context.save("summary", Summary(told | made | {"settings": json.loads(made["settings"])} | values))


def trained_with(source) -> tuple[str, settings.Settings]:
    """The recipe and settings that say what the weights of a run belong to: those of its training, where it has one.

    Raises BadInput for a run whose networks cannot be kept.
    """
    recipe, given = source.recipe, source.settings
    if isinstance(given, settings.Training):
        given = settings.Training(**{name: getattr(given, name) for name in settings.Training.model_fields})
        recipe = "training"
    if "kept" not in catalog.row("recipe", catalog.RECIPES, recipe).defaults:
        raise BadInput(f"Run {source.key} is of the recipe {recipe!r}, whose networks cannot be kept.")
    return recipe, given


def state_dict(net: Net, w: Tensor, buffers: Buffers | None) -> dict[str, np.ndarray]:
    """Arrays by name, as ``module.state_dict()`` of the plain module with these weights (P,) and buffers has them."""
    named = {**net.unflatten(w), **(net.buffers if buffers is None else buffers)}
    original = {id(p): name for name, p in net.module.named_parameters()}  # tied parameters have several names
    everything = dict(net.module.named_parameters(remove_duplicate=False)) | dict(net.module.named_buffers())
    found = {name: named[original.get(id(everything[name]), name)].cpu()
             for name in net.module.state_dict() if name in everything}
    return {name: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for name, t in found.items()}  # numpy has none


def places(s: settings.Network, reader) -> Places:
    """The kept network, called ``network``, from its own file: the run it came from is not needed."""
    said, arrays = reader.load("summary"), reader.load_weights(NAME)
    if said is None or arrays is None:
        raise BadInput(f"Run {reader.key} has no network yet. Wait until it is done, or start it again.")
    tensors = {name: torch.tensor(a) for name, a in arrays.items()}
    recipe = said.values["recipe"]
    belongs = catalog.Row("", "", catalog.row("recipe", catalog.RECIPES, recipe).defaults["kept"]).load()
    problem = belongs(settings.restored(recipe, said.values["settings"]), tensors)
    net = problem.task.net
    like = problem.task.splits["train"][0]
    w = torch.cat([tensors[name].reshape(-1) for name in net.names]).to(like.device)
    own = {name: tensors.get(name, b).to(like.device) for name, b in net.buffers.items()}
    return Places(problem.dataset, problem.task, networks={NAME: w}, own={NAME: own})
