"""The learning-rate range test: it ends where the loss breaks, and its rates are those of the plan."""

import numpy as np
import pytest

from landscape.errors import BadInput, Diverged
from landscape.schedules import plan
from landscape.training.range_test import range_test
from tests.training.test_sgd import moons_task, starts_of

OPTIONS = {"batch_size": 50, "momentum": 0.9}


def found(low, high, epochs=30):
    task, module = moons_task()
    rising = plan("range", lr=high, low=low, epochs=epochs, steps_per_epoch=4)
    return rising, range_test(task, [1, 2], starts_of(module, [1, 2]), rising, **OPTIONS)


def test_it_ends_where_the_loss_breaks_and_suggests_rates_below():
    rising, result = found(1e-4, 1e4)
    steps = len(result.rates)
    assert 20 < steps < 120
    assert result.rates.tolist() == rising.rates[:steps].tolist()
    assert result.losses.shape == (steps, 2)
    assert result.broken == result.rates[-1]
    assert 1e-3 < result.steepest < result.highest < result.broken
    assert not result.losses[-1].mean() <= 4 * result.smooth.min()


def test_it_goes_to_the_end_where_nothing_breaks():
    rising, result = found(1e-4, 1e-2)
    assert len(result.rates) == rising.steps
    assert result.broken is None
    losses = result.losses.mean(1)
    assert result.smooth[0] == pytest.approx(losses[0])
    weights = 0.9 ** np.arange(20)[::-1]
    assert result.smooth[19] == pytest.approx(weights @ losses[:20] / weights.sum())


def test_what_gives_no_answer_is_said():
    with pytest.raises(Diverged, match=r"broke after \d steps, at learning rate"):
        found(1e100, 1e200)
    task, module = moons_task()
    with pytest.raises(BadInput, match="rise at every step"):
        range_test(task, [1], starts_of(module, [1]), plan("constant", lr=0.1, epochs=1, steps_per_epoch=4), **OPTIONS)
    with pytest.raises(BadInput, match="at least one seed"):
        range_test(task, [], starts_of(module, [1])[:0], plan("range", lr=0.1, epochs=1, steps_per_epoch=4), **OPTIONS)
