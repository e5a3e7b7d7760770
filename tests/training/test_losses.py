"""Losses against closed forms and torch's own; refusals of outputs and targets that do not fit."""

import math

import pytest
import torch
from torch.nn import functional

from landscape.errors import BadInput
from landscape.networks.compiled import compiled
from landscape.training import beside, losses
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
    many = loss.side_by_side(y, outputs.T)(outputs.T[None].expand(2, -1, -1))
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


def judged(logits, y, width):
    """Loss and error of networks (N, B, C), their examples beside each other, filled up with others."""
    filled = torch.cat([logits, logits[:, :1].expand(-1, width - len(y), -1)], 1).transpose(1, 2).contiguous()
    return Categorical().side_by_side(y, filled[0])(filled)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-13), (torch.bfloat16, 1e-5)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_many_networks_side_by_side_get_what_each_gets(random, dtype, within, scale):
    logits = (scale * torch.randn(6, 21, 5, generator=random, dtype=torch.float64)).to(dtype)
    y = torch.randint(0, 5, (21,), generator=random)
    nll, error = judged(logits, y, 32)
    above = logits.double() - logits.double().gather(-1, y.expand(6, 21)[..., None])
    others = above.scatter(-1, y.expand(6, 21)[..., None], -math.inf).logsumexp(-1)
    expected = torch.logaddexp(others, torch.zeros_like(others))  # -log softmax: right where it is tiny, too
    assert nll.shape == error.shape == (6, 21)
    torch.testing.assert_close(expected, Categorical().nll(logits.double(), y), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(nll.double(), expected, rtol=within, atol=1e-35)
    assert torch.equal(error.double(), Categorical().error(logits, y).double())
    alone = [judged(each[None], y, 32)[0] for each in logits]
    assert torch.equal(nll, torch.cat(alone))


def test_a_tiny_loss_keeps_its_digits():
    nll, _ = judged(torch.tensor([[[20.0, 0.0, -1.0]]]), torch.tensor([0]), 16)
    assert float(nll) == pytest.approx(math.log1p(math.exp(-20) + math.exp(-21)), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_equal_and_infinite_logits_side_by_side(random, bad, place):
    logits, y = torch.randn(3, 8, 4, generator=random), torch.arange(8) % 4
    logits[0, 0], logits[1, 5, 1:3] = 0.7, 9.0  # all equal; equal to another one's that comes later
    assert torch.equal(judged(logits, y, 16)[1].double(), Categorical().error(logits, y).double())
    finite = judged(logits, y, 16)[0]
    logits[2, 3 + place, 3] = bad  # the label's own, and another's
    nll, error = judged(logits, y, 16)
    assert torch.equal(error.double(), Categorical().error(logits, y).double())
    assert torch.equal(nll.isfinite(), Categorical().nll(logits, y).isfinite() & ~(logits == math.inf).any(-1))
    assert torch.equal(nll[:2], finite[:2])


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
    several = outputs.transpose(1, 2)
    assert torch.equal(loss.side_by_side(y, several[0])(several)[0], torch.stack([brier(o, y) for o in outputs]))
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


@pytest.mark.parametrize("scale", [1.0, 1e3, math.inf])
def test_judging_without_the_interpreter_gives_the_same_bits(random, monkeypatch, scale):
    logits, y = scale * torch.randn(3, 20, 4, generator=random), torch.arange(20) % 4
    assert isinstance(compiled(beside.judged), torch.jit.ScriptFunction)
    quick = judged(logits, y, 32)
    monkeypatch.setattr(losses, "compiled", lambda function: function)
    for one, other in zip(quick, judged(logits, y, 32), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
