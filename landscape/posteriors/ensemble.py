"""Deep ensembles: the trained networks themselves, in equal parts (Lakshminarayanan et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import BadInput
from landscape.posteriors.method import Draws, Given, Watch, silent
from landscape.posteriors.space import weight_space


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent) -> Draws:
    """Every trained network once: z (members, 1, P), whatever number of draws is asked for."""
    if given.networks is None or not len(given.networks):
        raise BadInput("An ensemble needs trained networks, and none were handed over. Train at least two seeds.")
    return members(given.networks, "trained networks", watch)


def members(networks: Tensor, what: str, watch: Watch) -> Draws:
    """Networks (M, P) as one draw of M chains each. Raises BadInput where weights are not finite."""
    w = networks.double()
    lost = (~w.isfinite().all(1)).nonzero().flatten().tolist()
    if lost:
        raise BadInput(f"Member number {lost[0] + 1} of {len(w)} has NaN or infinite weights. Leave it out, or train it "
                       "again with a lower learning rate.")
    space = weight_space(w[0] if len(w) == 1 else w.mean(0))
    z = space.project(w)[:, None]
    for i in range(len(z)):
        watch(i + 1, len(z), z[i : i + 1])
    said = [f"{len(w)} {what} in equal parts; there is nothing random in them, so the number of draws does not matter."]
    if len(w) == 1:
        said.append("One member is no ensemble: its predictions are those of the network.")
    info = {"said": said, "members": len(w), "gradient_evaluations": 0, "value_evaluations": 0}
    return Draws(z, torch.full(z.shape[:2], torch.nan, dtype=torch.float64), space, info)
