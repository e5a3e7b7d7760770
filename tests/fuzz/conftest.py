"""Nothing that is read here may take more than a bounded amount of memory, nor run anything."""

import resource

import pytest

ROOM = 6 * 2**30  # bytes of addresses, of which torch alone takes a part


@pytest.fixture(autouse=True)
def bounded():
    """An allocation that a damaged length asks for fails with a MemoryError, which no reader catches."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM if hard == resource.RLIM_INFINITY else min(ROOM, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
