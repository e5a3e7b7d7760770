"""What is installed is what was tested: pinned versions, and files whose hashes are written down."""

import re
import tomllib
from importlib.metadata import distributions, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from landscape import ROOT

PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1]
        for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_everything_the_project_asks_for_is_pinned():
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["dev"], *extras["login"], *extras["export"]]
    for text in asked:
        wanted = Requirement(text)
        assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)]), text


def test_what_is_installed_has_the_pinned_versions():
    installed = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions()}
    assert version("streamlit") == PINS["streamlit"]
    for name, pin in PINS.items():
        assert installed.get(name, pin).split("+")[0] == pin, f"{name} {installed[name]} is installed, {pin} was tested"


def test_every_pin_has_a_hash():
    lines = [line.split() for line in (ROOT / ".ci/hashes.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for _, sha in lines)
    names = {parse_wheel_filename(file)[0] if file.endswith(".whl") else parse_sdist_filename(file)[0] for file, _ in lines}
    assert set(PINS) - names <= {"torch"}  # its builds are many: CPU or CUDA, from more than one index
