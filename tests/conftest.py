"""Which tests share a process when there are several (``make test``): files stay whole; tests that start servers, engines
and workers, and those that drive a browser, come one after another: each of them has a machine to itself in real life."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to the tests beside them
HERE = Path(__file__).parent
TOGETHER = {"faults": "processes", "runs": "processes", "sharing": "processes", "scale": "processes",
            "test_operations.py": "processes"}
FIRST = ("processes", "browser", "test_regression_posterior.py")  # they take longest


def _group(item: pytest.Item) -> str:
    inside = item.path.relative_to(HERE)
    if item.get_closest_marker("browser"):
        return "browser"
    return TOGETHER.get(inside.parts[0], str(inside))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    order = [*FIRST, ""]
    items.sort(key=lambda item: next(i for i, name in enumerate(order) if groups[item].endswith(name)))


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
