"""Losses against closed forms and torch's own; refusals of outputs and targets that do not fit."""

import math

import pytest
import torch
from torch.nn import functional

from landscape.errors import BadInput
from landscape.training.choice import chosen
from landscape.training.losses import Categorical, Causal, Gaussian, Given, SquaredError


@pytest.fixture
def random():
    return torch.Generator().manual_seed(3)


def test_squared_error_is_torchs_mean_over_all_numbers(random):
    outputs, y = torch.randn(20, 3, generator=random), torch.randn(20, 3, generator=random)
    loss = SquaredError()
    assert loss.nll(outputs, y).mean() == pytest.approx(float(functional.mse_loss(outputs, y)), rel=1e-6)
    expected = float((outputs - y).square().mean().sqrt())
    assert loss.combine(loss.error(outputs, y).mean()) == pytest.approx(expected, rel=1e-6)
    many = loss.side_by_side(outputs.T[None].expand(2, -1, -1), y)
    assert torch.equal(many[0], loss.nll(outputs, y).expand(2, -1))


def test_predicting_the_mean_is_chance_for_numbers(random):
    y = torch.randn(50, 2, generator=random) * torch.tensor([1.0, 3.0])
    mean = y.mean(0).expand(50, -1)
    assert SquaredError().chance(y)[0] == pytest.approx(float(SquaredError().nll(mean, y).mean()), rel=1e-5)
    one = y[:, :1]
    expected = float(Gaussian(0.2).nll(one.mean(0).expand(50, -1), one).mean())
    assert Gaussian(0.2).chance(one)[0] == pytest.approx(expected, rel=1e-5)


def test_causal_is_cross_entropy_of_the_next_token(random):
    tokens, logits = torch.randint(0, 11, (4, 7), generator=random), torch.randn(4, 7, 11, generator=random)
    loss = chosen("causal", logits, tokens)
    expected = functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert float(loss.nll(logits, tokens).mean()) == pytest.approx(float(expected), rel=1e-6)
    wrong = (logits[:, :-1].argmax(-1) != tokens[:, 1:]).double().mean()
    assert float(loss.error(logits, tokens).mean()) == pytest.approx(float(wrong))
    assert loss.chance(tokens) == (pytest.approx(math.log(11)), pytest.approx(10 / 11))


def test_tokens_of_minus_100_do_not_count_and_the_mean_is_per_token_that_does(random):
    tokens, logits = torch.randint(0, 5, (3, 6), generator=random), torch.randn(3, 6, 5, generator=random)
    tokens[0, 3:], tokens[2, 1] = -100, -100
    loss = chosen("causal", logits, tokens)
    expected = functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert float(loss.nll(logits, tokens).mean()) == pytest.approx(float(expected), rel=1e-6)
    assert loss.tokens == pytest.approx((2 + 5 + 4) / 3)


def test_half_precision_outputs_are_judged_in_float32():
    logits = torch.tensor([[300.0, 299.0]], dtype=torch.bfloat16)
    assert Categorical().nll(logits, torch.tensor([1])).dtype == torch.float32


def brier(outputs, y):
    return (outputs.softmax(-1) - functional.one_hot(y, outputs.shape[-1])).square().sum(-1)


def test_a_loss_of_the_users_own_for_one_network_and_for_many(random):
    outputs, y = torch.randn(2, 30, 4, generator=random), torch.randint(0, 4, (30,), generator=random)
    loss = chosen("mine:brier", outputs[0], y, function=brier)
    assert loss.kind == "classes"
    assert loss.ignorance == pytest.approx(0.75)
    assert torch.equal(loss.nll(outputs, y), torch.stack([brier(o, y) for o in outputs]))
    assert torch.equal(loss.error(outputs, y), Categorical().error(outputs, y))
    assert torch.equal(loss.side_by_side(outputs.transpose(1, 2), y)[0], torch.stack([brier(o, y) for o in outputs]))
    numbers = chosen("mine:l1", outputs[0], outputs[1], function=lambda o, t: (o - t).abs().sum(-1))
    assert numbers.kind == "numbers"
    error = numbers.combine(numbers.error(outputs[0], outputs[1]).mean())
    assert error == pytest.approx(float((outputs[0] - outputs[1]).square().mean().sqrt()), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "outputs", "y", "said"),
    [
        ("cross-entropy", torch.zeros(4, 3), torch.tensor([0, 1, 2, 5]), "puts out 3 classes.*0 to 5"),
        ("cross-entropy", torch.zeros(4, 3, 2), torch.zeros(4, dtype=torch.long), "outputs \\(examples, classes\\)"),
        ("cross-entropy", torch.zeros(4, 3), torch.zeros(4, 1), "class numbers"),
        ("mse", torch.zeros(4), torch.zeros(4, 1), "one shape"),
        ("gaussian", torch.zeros(4, 1), torch.zeros(4, dtype=torch.long), "one shape"),
        ("causal", torch.zeros(4, 7, 9), torch.full((4, 7), 9), "vocabulary"),
        ("causal", torch.zeros(4, 9), torch.zeros(4, 7, dtype=torch.long), "logits"),
        ("crossentropy", torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), "Did you mean 'cross-entropy'"),
    ],
)
def test_what_does_not_fit_is_refused(name, outputs, y, said):
    with pytest.raises(BadInput, match=said):
        chosen(name, outputs, y)


@pytest.mark.parametrize(
    ("function", "said"),
    [(lambda o, y: (o.sum(-1) - y).mean(), "one value an example"), (lambda o, y: o @ y, "failed on outputs"),
     (lambda o, y: 3.0, "one value an example")],
)
def test_a_loss_that_does_not_work_says_how_it_should(function, said):
    with pytest.raises(BadInput, match=said):
        chosen("mine:bad", torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), function=function)


def test_every_loss_says_what_chance_is_above_its_floor(random):
    y, classes = torch.randn(9, 2, generator=random), torch.arange(9) % 3
    for loss, target in ((Categorical(), classes), (Gaussian(0.1), y), (SquaredError(), y), (Causal(5.0, 7), classes),
                         (Given(brier, "b", "classes", 0.7, 2, 1), classes)):
        nll, error = loss.chance(target)
        assert nll > (loss.floor or 0.0) or loss.floor is None
        assert error > 0
