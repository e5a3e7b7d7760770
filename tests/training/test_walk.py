"""SGD by a plan: the rates that were taken, averages, snapshots, restarts, branches; divergence said by name."""

import copy

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, update_bn

from landscape.errors import BadInput, Diverged
from landscape.recipes.state import pack, unpack
from landscape.schedules import plan
from landscape.training import schedules, sgd
from landscape.training.averaging import Trajectory, average_of, refresh, trajectory_of
from landscape.training.walk import START, branched, check, lost, walk
from tests.training.test_sgd import moons_task, starts_of

RUN = {"lr": 0.1, "epochs": 6, "steps_per_epoch": 4}
OPTIONS = {"batch_size": 50, "momentum": 0.9}
SWA = plan("swa", **RUN, start=3, swa_lr=0.05)


def followed(norm="none", dtype=torch.float64, network="mlp", how=SWA, trace=None, **more):
    task, module = moons_task(norm, dtype, network)
    seeds = [3, 8]
    trace = how.every() if trace is None else trace
    return task, walk(task, seeds, starts_of(module, seeds, dtype), how, **OPTIONS | {"trace": trace} | more)


def by_hand(task, module, start, seed, how, update):
    """A torch module trained by torch.optim.SGD with the plan's rates; ``update`` is called at points of collection."""
    x, y = task.splits["train"]
    module = copy.deepcopy(module).train()
    torch.nn.utils.vector_to_parameters(start.clone(), module.parameters())
    optimiser = torch.optim.SGD(module.parameters(), lr=1.0, momentum=0.9, weight_decay=1e-3)
    for done in range(how.steps):
        epoch, step = divmod(done, how.steps_per_epoch)
        indices = sgd.shuffles([seed], epoch + 1, len(x))[0][50 * step : 50 * step + 50]
        optimiser.param_groups[0]["lr"] = float(how.rates[done])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(x[indices]), y[indices]).backward()
        optimiser.step()
        if done + 1 in how.collect:
            update(module)
    return module


@pytest.mark.parametrize("how", [
    SWA, plan("fge", **RUN, cycle=2), plan("sawtooth", **RUN, cycle=1.5, low=0.01), plan("cosine", **RUN),
    plan("onecycle", **RUN, momentum_high=0.95, momentum_low=0.85), plan("range", **RUN)], ids=lambda p: p.name)
def test_the_rate_of_every_step_is_the_planned_one(how):
    _, state = followed(how=how)
    assert state.rates == how.rates.tolist()
    assert state.lr == how.rates[3::4].tolist()


def test_rates_from_a_plan_and_from_a_factor_give_the_same_bits():
    task, module = moons_task(dtype=torch.float32)
    starts = starts_of(module, [1, 2], torch.float32)
    one = sgd.train(task, [1, 2], starts, **OPTIONS, epochs=6, lr=0.1, schedule=schedules.linear)
    other = walk(task, [1, 2], starts, plan("linear", **RUN), **OPTIONS)
    assert torch.equal(one.parameters, other.parameters)
    assert one.rates == other.rates


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_average_is_that_of_the_snapshots_and_of_torch(norm):
    task, state = followed(norm, torch.float32)
    module = moons_task(norm, torch.float32)[1]
    average, count = average_of(state)
    assert count.tolist() == [3, 3]
    members = trajectory_of(state).at(SWA.collect)
    torch.testing.assert_close(average, members.weights.double().mean(0).float(), rtol=0, atol=1e-6)
    for k, seed in enumerate([3, 8]):
        theirs = AveragedModel(module)
        last = by_hand(task, module, starts_of(module, [3, 8], torch.float32)[k], seed, SWA, theirs.update_parameters)
        torch.testing.assert_close(average[k], task.net.flatten(theirs.module), rtol=0, atol=1e-6)
        torch.testing.assert_close(state.parameters[k], task.net.flatten(last), rtol=0, atol=1e-6)
        update_bn([task.batchnorm_batches[0]], theirs)
        x, y = task.splits["test"]
        with torch.no_grad():
            expected = torch.nn.functional.cross_entropy(theirs.eval()(x), y)
        assert float(task.evaluate(average[k : k + 1], "test")["nll"]) == pytest.approx(float(expected), abs=1e-5)


def test_an_average_without_batchnorm_statistics_of_its_own_fails():
    how = plan("swa", lr=0.5, epochs=30, steps_per_epoch=4, start=10)
    task, state = followed("batch", how=how)
    found = refresh(task, average_of(state)[0], "train", state.buffers)
    assert (found["initial"]["error"] > 2 * found["re-estimated"]["error"]).all()
    assert (found["stored"]["nll"] > found["re-estimated"]["nll"]).all()
    own = refresh(task, state.parameters, "train", state.buffers)
    worse = {name: (f["stored"]["nll"] - f["re-estimated"]["nll"]).abs() for name, f in (("mean", found), ("own", own))}
    assert worse["mean"].mean() > 2 * worse["own"].mean()  # they fit the network they were stored for
    plain = followed(how=how)
    same = refresh(plain[0], average_of(plain[1])[0], "train", plain[1].buffers)
    assert same["initial"]["nll"].tolist() == same["stored"]["nll"].tolist() == same["re-estimated"]["nll"].tolist()


def test_a_trajectory_holds_what_was_there_at_each_point():
    task, state = followed(trace=[0, 3, 8, 24])
    seen = trajectory_of(state)
    assert seen.steps.tolist() == [0, 3, 8, 24]
    assert seen.weights.shape == (4, 2, task.net.size)
    torch.testing.assert_close(seen.weights[0], starts_of(moons_task()[1], [3, 8]), rtol=0, atol=0)
    assert torch.equal(seen.weights[-1], state.parameters)
    assert seen.rates[1:].tolist() == [SWA.rates[n - 1] for n in (3, 8, 24)]
    np.testing.assert_allclose(seen.losses[2], state.log["train_loss"][1], rtol=1e-12)
    assert np.isnan(seen.losses[0]).all()
    again = Trajectory.of(seen.arrays())
    assert torch.equal(again.weights, seen.weights)
    assert torch.equal(again.at([8]).weights[0], seen.weights[2])
    means = list(seen.means())
    torch.testing.assert_close(means[2], seen.weights[:3].mean(0))
    with pytest.raises(BadInput, match="No snapshot was kept after 5 steps"):
        seen.at([3, 5])


def test_gathering_does_not_change_the_walk():
    _, plain = followed(how=plan("constant", **RUN), trace=())
    _, gathering = followed(how=plan("swa", **RUN, start=2), trace=range(25))
    assert torch.equal(plain.parameters, gathering.parameters)


@pytest.mark.parametrize("stop", [2, 4])
def test_a_walk_that_was_stopped_goes_on_bit_for_bit(stop):
    _, whole = followed("batch", torch.float32, trace=SWA.every(0.5))
    stored = []
    followed("batch", torch.float32, trace=SWA.every(0.5), after_epoch=lambda s: stored.append(pack(s)), epochs=stop)
    _, continued = followed("batch", torch.float32, trace=SWA.every(0.5), state=unpack(stored[-1]))
    assert torch.equal(whole.parameters, continued.parameters)
    assert torch.equal(average_of(whole)[0], average_of(continued)[0])
    assert whole.rates == continued.rates
    one, other = trajectory_of(whole), trajectory_of(continued)
    assert torch.equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(one.steps, other.steps)


def test_branches_equal_walks_of_their_own_and_share_the_start():
    plans = {"sgd": plan("linear", **RUN), "swa": plan("swa", **RUN, start=4),
             "fge": plan("constant", **RUN).head(3).then(plan("fge", **RUN, cycle=2).head(3))}
    task, module = moons_task("batch")
    starts, epochs = starts_of(module, [3, 8]), {START: 0, "sgd": 0, "swa": 0, "fge": 0}

    def count(name, state):
        epochs[name] += 1

    found = branched(task, [3, 8], starts, plans, **OPTIONS, after_epoch=count)
    assert epochs == {START: 3, "sgd": 3, "swa": 3, "fge": 3}
    assert found.shared == 3
    assert found.spent == 12
    assert found.cost["swa"] == {"alone": 6, "extra": 3}
    for name, own in plans.items():
        alone = walk(task, [3, 8], starts, own, **OPTIONS, trace=own.every())
        assert torch.equal(alone.parameters, found.states[name].parameters)
        assert found.states[name].rates == own.rates.tolist()
        assert all(torch.equal(b, found.states[name].buffers[n]) for n, b in alone.buffers.items())
        assert torch.equal(trajectory_of(found.states[name]).at(own.every()).weights, trajectory_of(alone).weights)
    own = walk(task, [3, 8], starts, plans["swa"], **OPTIONS)
    assert torch.equal(average_of(found.states["swa"])[0], average_of(own)[0])


def test_branches_go_on_from_what_was_stored():
    plans = {"sgd": plan("linear", **RUN), "swa": plan("swa", **RUN, start=4)}
    task, module = moons_task()
    starts, stored = starts_of(module, [3, 8]), {}

    class Stop(Exception):
        pass

    def keep(name, state):
        stored[name] = pack(state)
        if name == "swa" and state.epoch == 5:
            raise Stop

    with pytest.raises(Stop):
        branched(task, [3, 8], starts, plans, **OPTIONS, after_epoch=keep)
    names = []
    continued = branched(task, [3, 8], starts, plans, **OPTIONS, after_epoch=lambda name, state: names.append(name),
                         resume=lambda name: unpack(stored[name]) if name in stored else None)
    assert names == ["swa"]
    whole = branched(task, [3, 8], starts, plans, **OPTIONS)
    for name in plans:
        assert torch.equal(whole.states[name].parameters, continued.states[name].parameters)
        assert torch.equal(trajectory_of(whole.states[name]).weights, trajectory_of(continued.states[name]).weights)


def test_a_rate_that_is_too_high_is_named_and_the_last_finite_weights_are_kept():
    how = plan("constant", **RUN).head(2).then(plan("constant", **RUN | {"lr": 1e30}).head(4))
    task, state = followed("batch", torch.float32, how=how)
    assert state.diverged == {0: 3, 1: 3}
    at_two = walk(task, [3, 8], starts_of(moons_task("batch")[1], [3, 8], torch.float32), how, **OPTIONS, epochs=2)
    assert torch.equal(state.parameters, at_two.parameters)
    assert all(torch.equal(b, at_two.buffers[name]) for name, b in state.buffers.items())
    assert lost(state, [3, 8], how).startswith("seed 3 diverged in epoch 3 at learning rate 1e+30, seed 8")
    with pytest.raises(Diverged, match=r"1 of 2 networks must stay finite, 0 did: seed 3 diverged in epoch 3.*Lower"):
        check(state, [3, 8], how)


def test_a_network_that_diverged_is_in_no_average():
    task, module = moons_task()
    starts = starts_of(module, [3, 8])
    starts[0] *= 1e200
    state = walk(task, [3, 8], starts, SWA, **OPTIONS, trace=SWA.every(start=1))
    average, count = average_of(state)
    assert count.tolist() == [0, 3]
    assert average[0].isnan().all()
    alone = walk(task, [8], starts[1:], SWA, **OPTIONS)
    torch.testing.assert_close(average[1], average_of(alone)[0][0], rtol=1e-9, atol=1e-12)
    assert trajectory_of(state).weights[:, 0].isnan().all()
    check(state, [3, 8], SWA)


def test_what_cannot_be_walked_is_said():
    task, module = moons_task()
    starts = starts_of(module, [3])
    with pytest.raises(BadInput, match="at least one seed"):
        walk(task, [], starts[:0], SWA, **OPTIONS)
    with pytest.raises(BadInput, match=r"made for 4 steps an epoch.*batches of 20 are 10"):
        walk(task, [3], starts, SWA, batch_size=20, momentum=0.9)
    with pytest.raises(BadInput, match="GiB"):
        walk(task, [3], starts, SWA, **OPTIONS, trace=range(10**7))
    plain = walk(task, [3], starts, plan("linear", **RUN), **OPTIONS)
    with pytest.raises(BadInput, match="Nothing has been averaged in 6 epochs"):
        average_of(plain)
    with pytest.raises(BadInput, match="No snapshots were kept"):
        trajectory_of(plain)
    with pytest.raises(BadInput, match="24 steps and 4 rates"):
        sgd.train(task, [3], starts, **OPTIONS, epochs=6, rates=[0.1] * 4)
    with pytest.raises(BadInput, match="at least one plan"):
        branched(task, [3], starts, {}, **OPTIONS)


def test_the_stationary_variance_of_sgd_on_a_quadratic():
    """Gradient lambda w + noise of unit variance: eta^2 / (1 - (1 - eta lambda)^2), Mandt et al. 2017."""
    networks, parameters, steps, rate = 50, 100, 40, 0.1
    noise = torch.Generator().manual_seed(7)

    def objective(w, buffers, indices, epoch, step):
        loss = (0.5 * w.square() + torch.randn(w.shape, generator=noise, dtype=w.dtype) * w).sum(1)
        return loss, loss

    gathered = []
    state = sgd.start(torch.zeros(networks, parameters, dtype=torch.float64))
    sgd.run(state, objective, examples=steps, batch_size=1, epochs=11, momentum=0.0, rates=[rate] * (11 * steps),
            seeds=list(range(networks)), points=range(4 * steps, 12 * steps, steps),
            collect=lambda state, step: gathered.append(state.parameters.clone()))
    draws = torch.stack(gathered)
    assert draws.shape == (8, networks, parameters)
    expected = rate**2 / (1 - (1 - rate) ** 2)
    assert expected == pytest.approx(0.0526316, abs=1e-7)
    between = 0.9 ** (2 * steps)  # squared correlation of draws one epoch apart: they count as independent
    assert between < 1e-3
    error = expected * (2 / draws.numel()) ** 0.5
    assert abs(float(draws.square().mean()) - expected) < 3 * error
    assert 3 * error < 0.03 * expected
