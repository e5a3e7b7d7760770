"""The tests for a GPU on a machine without one, against a stand-in (``stand_in.py``), in processes of their own.

What it shows: that devices are not mixed, that nothing waits where nothing is to wait, that nothing is rounded unasked, and
that the values are those of the CPU. Not: speed, kernels, what libraries of NVIDIA do, and how exactly memory runs out.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from landscape import ROOT

HERE = Path(__file__).parent
FILES = (("test_stand_in", "test_cuda"), ("test_cuda_parts", "test_cuda_recipes"))  # of each process
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def named_in(file: str) -> list[str]:
    """Its test functions, read without importing it."""
    body = ast.parse((HERE / f"{file}.py").read_text()).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def started(files: tuple[str, ...], report: Path) -> subprocess.Popen:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LANDSCAPE_", "PYTEST_"))}
    path = os.pathsep.join([str(HERE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "stand_in", "-p", "no:cacheprovider", "-n0", "--tb=short",
         f"--junitxml={report}", *(HERE / f"{file}.py" for file in files)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=plain | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, list[str]]:
    """What is wrong with the cases of each test, by its name: empty strings where nothing is."""
    if shutil.which("g++") is None:
        pytest.skip("the stand-in is compiled with g++, and there is none")
    refused = subprocess.run([sys.executable, "-c", "import stand_in"], cwd=HERE, capture_output=True, text=True)
    if refused.returncode:
        pytest.skip(f"the stand-in does not fit torch {torch.__version__}: {refused.stderr.strip().splitlines()[-1]}")
    folder, found = tmp_path_factory.mktemp("reports"), defaultdict(list)
    running = [(started(files, folder / f"{files[0]}.xml"), folder / f"{files[0]}.xml") for files in FILES]
    for process, report in running:
        said = process.communicate(timeout=500)[0]
        assert report.exists(), said[-3000:]
        for case in ElementTree.parse(report).iter("testcase"):
            wrong = [each.text or each.tag for each in case if each.tag in ("failure", "error", "skipped")]
            found[case.get("name").partition("[")[0]].append("\n".join(f"{case.get('name')}: {text}" for text in wrong))
    return found


@pytest.mark.parametrize("name", [name for files in FILES for file in files for name in named_in(file)])
def test_with_the_stand_in(name, outcomes):
    assert outcomes[name], "it was not run"
    wrong = [text for text in outcomes[name] if text]
    assert not wrong, "\n\n".join(wrong)
