"""The stand-in for a GPU is as strict as one; run with it alone (``test_without_one``)."""

import sys

import pytest
import torch

pytestmark = pytest.mark.skipif("stand_in" not in sys.modules, reason="it is run by test_without_one.py")


def there(*size: int) -> torch.Tensor:
    return torch.ones(size, device="cuda")


@pytest.mark.parametrize(("work", "refused"), [
    (lambda: there(2) + torch.ones(2), "on the same device"),
    (lambda: torch.ones(2).add_(there(2)), "on the same device"),
    (lambda: torch.ones(2)[there(2) > 0], "on the same device"),
    (lambda: torch.cat([torch.ones(2), there(2)]), "on the same device"),
    (lambda: torch.stack([torch.tensor(1.0), there(2)[0]]), "on the same device"),
    (lambda: torch.randn(2, generator=torch.Generator(), device="cuda"), "for generator"),
    (lambda: torch.nn.functional.conv1d(there(1, 1, 2), there(1, 1, 2)), "TF32"),
])
def test_what_it_refuses(work, refused):
    with pytest.raises(RuntimeError, match=refused):
        work()


def test_it_gives_numpy_nothing():
    with pytest.raises((TypeError, RuntimeError), match="numpy"):
        there(2).numpy()


@pytest.mark.parametrize("work", [
    lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: x.cpu(), lambda x: x.tolist(), lambda x: x[[0, 1]],
    lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: torch.tensor([1.0], device="cuda"),
    lambda x: x.copy_(torch.ones(2)), lambda x: torch.equal(x, x), lambda x: torch.linalg.cholesky(x[:, None] * x)])
def test_what_waits(work):
    x = there(2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchronizing"):
            work(x)
        torch.where(x > 0, x, 0).add_(torch.tensor(1.0)).clamp_(min=0)[1:].double()  # and what does not
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_its_memory_runs_out_and_is_given_back():
    before, some = torch.cuda.memory_allocated(), there(1000)
    assert torch.cuda.memory_allocated() - before == 4000
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**34, device="cuda", dtype=torch.int8)
    del some
    assert torch.cuda.memory_allocated() == before
