"""What would wait for a device, caught on the CPU: calls in Python, and operations beneath them that hand a number over."""

from contextlib import contextmanager

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CALLS = ("item", "cpu", "numpy", "tolist", "__bool__", "__float__", "__int__", "__index__", "nonzero")
OPERATIONS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique", "_unique2")


class Waits(TorchFunctionMode):
    """Raises at calls that would wait for a device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        assert name not in CALLS, name
        return function(*args, **(kwargs or {}))


class Beneath(TorchDispatchMode):
    """Raises at the operations themselves, also those of backward passes and of what torch does on its own."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.partition(".")[0]
        assert name not in OPERATIONS, name
        return function(*args, **(kwargs or {}))


@contextmanager
def nothing_waits():
    """Within, whatever would wait for a device raises."""
    with Waits(), Beneath():
        yield
