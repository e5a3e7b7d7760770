"""A normalising flow as posterior: splines (Durkan et al. 2019, from zuko) on top of a fitted Gaussian, by KL(q | p).

z = mean + L T(e): the Gaussian, with a full covariance, is fitted first (``vi``), and T, which starts as the identity, bends
it. Draws are made in one pass (an inverse autoregressive flow, Kingma et al. 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import BadInput, Diverged
from landscape.posteriors.independent import drawn, noise
from landscape.posteriors.likelihood import one_thread
from landscape.posteriors.method import Draws, Given, Recorder, Watch, silent
from landscape.posteriors.target import Normal, Target
from landscape.posteriors.vi import fit

LIMIT = 50  # coordinates
GAUSSIAN_STEPS = 150
START = 1e-2  # of the last layers' usual size: the splines begin next to the identity
ROOM = 3.0  # the splines reach to this many times five standard deviations of the Gaussian
LATE = 20  # steps whose mean bound is compared with the Gaussian's
WORSE = 1.0  # nats the bound may be below the Gaussian's, beside its noise


def infer(given: Given, *, draws: int, chains: int, generator: torch.Generator, watch: Watch = silent, steps: int = 400,
          samples: int = 64, rate: float = 1e-2, transforms: int = 3, hidden: int = 32, bins: int = 16) -> Draws:
    """Fit the flow, then ``chains`` x ``draws`` independent draws. Raises Diverged, naming the step, where it is lost."""
    target = given.target
    if not 2 <= target.ndim <= LIMIT:
        raise BadInput(f"The flow bends 2 to {LIMIT} coordinates; this target has {target.ndim:,}. Choose a subspace of "
                       "such a dimension.")
    if steps < 1 or samples < 2 or not rate > 0:
        raise BadInput(f"A flow needs at least 1 step of 2 samples and a rate above zero; found steps={steps}, "
                       f"samples={samples}, rate={rate:g}.")
    recorder = Recorder(target, chains, draws, GAUSSIAN_STEPS + steps, watch)
    start = given.start[0].to(target.space.origin) if given.start is not None else None
    gaussian = fit(target, generator, full=True, steps=GAUSSIAN_STEPS, start=start, after_step=recorder.warmed)
    bend = _Splines(target, gaussian.normal, generator, transforms, hidden, bins)
    bounds = _trained(bend, generator, steps, samples, rate, recorder)
    late = bounds[-LATE:]
    below = gaussian.reached - float(late.mean())
    if below > WORSE + 3 * float(late.std(correction=0)) / len(late) ** 0.5:
        raise Diverged(f"The flow diverged: after {steps} steps its evidence bound is {below:.4g} nats below that of the "
                       f"Gaussian it began from ({gaussian.reached:.4g}). Raise the temperature, lower its rate ({rate:g}), "
                       "or take more samples.")
    said = [f"A flow of {transforms} spline layers; its evidence bound is {float(late.mean()):.4g} nats against "
            f"{gaussian.reached:.4g} of the Gaussian it began from, up to the posterior's constant."]

    def draw(count: int) -> Tensor:
        with torch.no_grad(), one_thread(target.device):
            return bend(noise((count, target.ndim), generator, target))[0]

    return drawn(recorder, draw, said=said, bound=bounds.numpy())


def _trained(bend: _Splines, generator: torch.Generator, steps: int, samples: int, rate: float,
             recorder: Recorder) -> Tensor:
    """The bound (steps,) while Adam moves the splines; the rate falls as half a cosine."""
    target = recorder.target
    optimiser = torch.optim.Adam(bend.parameters, lr=rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    bounds = torch.empty(steps, dtype=torch.float64)
    for step in range(steps):
        e = noise((samples, target.ndim), generator, target)
        with one_thread(target.device):
            z, volume = bend(e)
        value = slope = torch.full((), torch.nan)
        if bool(z.isfinite().all()):
            value, slope = target.value_and_gradient(z.detach())
        finite = bool(value.isfinite().all()) and bool(slope.isfinite().all()) and bool(volume.isfinite().all())
        if not finite:
            raise Diverged(f"The flow diverged in step {step + 1} of {steps}: a density is not finite. Lower its rate "
                           f"({rate:g}), or use a smaller prior_std.")
        unit = Normal(e.new_zeros(target.ndim), 1.0).log_density(e)
        bounds[step] = (value + volume.detach() - unit).mean()
        optimiser.zero_grad()
        with one_thread(target.device):
            (-((z * slope).sum(-1) + volume).mean()).backward()
            optimiser.step()
        falling.step()
        recorder.warmed()
    return bounds


class _Splines:
    """``(z (N, K), log volume (N,))`` of noise (N, K); starts as the Gaussian itself."""

    def __init__(self, target: Target, gaussian: Normal, generator: torch.Generator, transforms: int, hidden: int,
                 bins: int):
        import zuko

        self.gaussian = gaussian
        with torch.random.fork_rng(devices=[]):  # what zuko draws for its layers is replaced below
            flow = zuko.flows.NSF(target.ndim, transforms=transforms, hidden_features=(hidden, hidden), bins=bins)
        self.flow = flow.to(target.device, torch.float64)
        self.parameters = list(self.flow.parameters())
        for layer in self.flow.transform.transforms:
            linear = [each for each in layer.hyper if hasattr(each, "weight")]
            for each in linear:
                size = (START if each is linear[-1] else 1.0) / each.weight.shape[1] ** 0.5
                for parameter in (each.weight, each.bias):
                    with torch.no_grad():
                        parameter.copy_(size * noise(tuple(parameter.shape), generator, target))
        self.log_scale = gaussian.deviation.diagonal().log().sum()

    def __call__(self, e: Tensor) -> tuple[Tensor, Tensor]:
        bent, volume = self.flow().transform.call_and_ladj(e / ROOM)
        return self.gaussian.mean + ROOM * bent @ self.gaussian.deviation.T, volume + self.log_scale
