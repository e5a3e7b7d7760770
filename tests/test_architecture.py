"""The rules between rooms, read off the imports of every file."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from landscape import ROOT

FILES = sorted(p for folder in ("landscape", "pages", "tests", "bench", "assets") for p in (ROOT / folder).rglob("*.py"))
FILES.append(ROOT / "app.py")
CODE = [p for p in FILES if "tests" not in p.relative_to(ROOT).parts]
COMPUTE = ("networks", "training", "geometry", "posteriors", "recipes")
INNER = ("data", "networks", "training", "geometry", "posteriors", "uncertainty")


def room(path: Path) -> str:
    """``landscape/<room>/...`` -> room; other files by their first folder or their own name."""
    parts = path.relative_to(ROOT).parts
    return parts[1].removesuffix(".py") if parts[0] == "landscape" else parts[0]


def imports(path: Path) -> set[str]:
    """Every module name imported anywhere in a file, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def uses(path: Path, *names: str) -> set[str]:
    return {i for i in imports(path) if any(i == n or i.startswith(n + ".") for n in names)}


def rooms(*names: str) -> list[Path]:
    return [p for p in CODE if room(p) in names]


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


SPEAKS_ITS_PROTOCOL = ROOT / "bench/visitor.py"


@pytest.mark.parametrize("path", [p for p in CODE if room(p) not in ("ui", "pages", "app.py") and p != SPEAKS_ITS_PROTOCOL],
                         ids=ids)
def test_streamlit_only_where_pages_are_made(path):
    assert not uses(path, "streamlit")


@pytest.mark.parametrize(
    "path",
    rooms("ui", "pages", "app.py", "figures", "results", "settings", "schedules", "catalog", "errors", "data"),
    ids=ids,
)
def test_nothing_a_page_needs_knows_torch_or_computing(path):
    assert not uses(path, "torch", *(f"landscape.{name}" for name in COMPUTE))


@pytest.mark.parametrize("path", rooms(*INNER), ids=ids)
def test_computing_knows_nothing_of_runs_or_screens(path):
    assert not uses(
        path, "landscape.runs", "landscape.recipes", "landscape.figures", "landscape.ui", "tqdm", "plotly", "distributed"
    )


def test_data_flows_one_way():
    order = ["data", "networks", "training", "geometry", "posteriors"]
    for path in rooms(*order):
        later = order[order.index(room(path)) + 1 :]
        assert not uses(path, *(f"landscape.{name}" for name in later)), ids(path)


@pytest.mark.parametrize("path", rooms("runs"), ids=ids)
def test_runs_do_not_know_torch_or_pages(path):
    assert not uses(path, "torch", "landscape.ui", "streamlit", *(f"landscape.{name}" for name in COMPUTE))


@pytest.mark.parametrize("path", rooms("figures"), ids=ids)
def test_figures_draw_results_and_nothing_else(path):
    assert not uses(path, "landscape.data", "landscape.ui")


@pytest.mark.parametrize("path", rooms(*INNER, "recipes"), ids=ids)
def test_no_global_randomness(path):
    text = path.read_text()
    for call in ("manual_seed(", "np.random.seed", "np.random.rand", "random.seed", "torch.seed("):
        for line in text.splitlines():
            assert call not in line or "Generator()" in line, f"{ids(path)}: {line.strip()}"


@pytest.mark.parametrize("path", [p for p in CODE], ids=ids)
def test_files_can_be_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= (130 if room(path) == "pages" else 320)


@pytest.mark.parametrize("path", [p for p in CODE], ids=ids)
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno <= 60, f"{node.name} has {node.end_lineno - node.lineno} lines"


@pytest.mark.parametrize("path", CODE, ids=ids)
def test_names_say_what_they_are(path):
    assert path.stem not in {"utils", "util", "helpers", "helper", "base", "manager", "common", "misc"}


def test_the_pages_side_imports_without_torch():
    """The figures, settings and the read side of runs, in a process where importing torch fails."""
    code = (
        "import sys; sys.modules['torch'] = None;"
        "import landscape.settings, landscape.schedules, landscape.results, landscape.catalog, landscape.runs;"
        "import importlib, pkgutil, landscape.figures;"
        "[importlib.import_module('landscape.figures.' + m.name) for m in pkgutil.iter_modules(landscape.figures.__path__)];"
        "landscape.runs.Library, landscape.runs.Jobs"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LANDSCAPE_")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60, env=plain)


def test_test_modules_have_names_of_their_own():
    """Folders of tests are no packages: of two modules of one name only the first would be found."""
    found = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(found) == sorted(set(found))
