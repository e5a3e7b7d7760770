"""Memory runs out in the process that computes: by a limit it meets, and by the kernel that ends it."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sameness import assert_same

HUNGRY = {"steps": 30, "pause": 0.1, "fault": "hungry"}
CGROUPS = Path("/sys/fs/cgroup")


def test_an_allocation_that_fails_is_said_and_the_run_goes_on_with_more_memory(shop, undisturbed):
    key = shop.jobs.submit("stroll", HUNGRY)
    shop.until(lambda: shop.saved(key, 1))
    worker = psutil.Process(shop.library.attempts(key)[-1]["pid"])
    had = resource.prlimit(worker.pid, resource.RLIMIT_AS)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (worker.memory_info().vms + 2**28, had[1]))
    run = shop.ended(key)
    assert run.status == "failed"
    assert run.message.startswith("Memory has run out. Everything saved is kept.")
    assert "MemoryError" in shop.library.detail(key)
    assert len(shop.walked(key)) == 3
    resource.prlimit(worker.pid, resource.RLIMIT_AS, had)
    shop.jobs.submit("stroll", HUNGRY)
    assert shop.ended(key).status == "done"
    assert_same(shop.library, undisturbed(**HUNGRY)[0], key)


@pytest.fixture
def confined():
    """Puts a process into a group with so many bytes of memory; skips where groups cannot be made."""
    made = []

    def confine(pid: int, limit: int) -> Path:
        first = CGROUPS / "memory" if (CGROUPS / "memory").is_dir() else CGROUPS
        group = first / f"landscape-test-{os.getpid()}"
        try:
            group.mkdir()
            made.append(group)
            names = ("memory.limit_in_bytes", "memory.max")
            next(group / name for name in names if (group / name).exists()).write_text(str(limit))
            with suppress(OSError, StopIteration):
                swap = ("memory.memsw.limit_in_bytes", "memory.swap.max")
                next(group / name for name in swap if (group / name).exists()).write_text(str(limit))
            (group / "cgroup.procs").write_text(str(pid))
        except (OSError, StopIteration) as error:
            pytest.skip(f"groups of limited memory cannot be made here: {error}")
        return group

    yield confine
    for group in made:
        with suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                (group.parent / "cgroup.procs").write_text(pid)
            group.rmdir()


def test_a_worker_that_the_kernel_ends_for_its_memory_is_replaced(shop, undisturbed, confined):
    key = shop.jobs.submit("stroll", HUNGRY)
    shop.until(lambda: shop.saved(key, 1))
    worker = psutil.Process(shop.library.attempts(key)[-1]["pid"])
    confined(worker.pid, worker.memory_info().rss + 2**26)
    assert shop.ended(key).status == "done"  # its successor is under no limit
    assert [each["outcome"] for each in shop.library.attempts(key)] == ["interrupted", "done"]
    assert shop.jobs.engine() is not None
    assert_same(shop.library, undisturbed(**HUNGRY)[0], key)
