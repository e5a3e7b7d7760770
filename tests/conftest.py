"""Which tests share a process when there are several (``make test``): files stay whole; tests that start servers, engines
and workers, and those that drive a browser, come one after another: each of them has a machine to itself in real life."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to the tests beside them
TOGETHER = {"faults": "processes", "runs": "processes", "sharing": "processes", "scale": "processes",
            "test_operations.py": "processes"}
FIRST = ("processes", "browser", "test_regression_posterior.py")  # they take longest


def _group(nodeid: str) -> str:
    _, *inside = nodeid.partition("::")[0].split("/")
    if inside[-1].endswith("browser.py"):
        return "browser"
    return TOGETHER.get(inside[0], "/".join(inside))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = [*FIRST, ""]
    items.sort(key=lambda item: next(i for i, name in enumerate(order) if _group(item.nodeid).endswith(name)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """(Marks for groups are not read by every xdist that fits a pytest.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False  # they come in the order above
    return Scheduling(config, log)


@pytest.fixture
def shop(tmp_path):
    """A store and an engine of its own."""
    from shops import Shop

    made = Shop(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def undisturbed(tmp_path):
    """A store in which the run of these settings was computed in one go, in this process: ``(library, key)``."""
    from shops import Shop

    from landscape.runs.local import compute_here

    def computed(recipe: str = "stroll", **settings):
        other = Shop(tmp_path / "undisturbed")
        key, status, message = compute_here(recipe, settings, other.home)
        assert status == "done", message
        return other.library, key

    return computed
