"""What stands in a URL, in a settings file or on a line of the engine is understood or refused, never anything else."""

import json
import os
import socket
import struct
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damaged, held

from landscape import ROOT, catalog, configuration
from landscape.errors import BadInput
from landscape.runs.channel import receive, send
from landscape.runs.region import checked_region
from landscape.runs.where import checked, parse_where
from landscape.settings import Settings, parse, settings_of
from landscape.ui import gate

RECIPES = sorted(set(catalog.RECIPES) & {"valleys", "averaging", "posterior", "calibration", "training", "inspect"})
PARTS = ["run", "plane", "x", "y", "path", "t", "network", "polygon", "weights"]
QUERY = ["run", "open", "with", "task", "seeds", "grid", "filter", "status", "polygon"]
BOUNDED = settings(max_examples=80, deadline=2000, suppress_health_check=list(HealthCheck), derandomize=True)
likely = st.sampled_from(["", "0", "-1", "1e9", "nan", "inf", "1,2", ",", "digits", "file:../../x", "auto", "true", "[]",
                          "{}", "9" * 400, "1e-400", "\x00", "none", "1;2", "\u0663"])
word = likely | st.text(max_size=40)
anything = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | word,
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word, inner, max_size=3), max_leaves=6)


@pytest.mark.parametrize("recipe", RECIPES)
def test_settings_from_a_url(recipe):
    names = sorted(settings_of(recipe).model_fields)

    @BOUNDED
    @given(st.dictionaries(st.sampled_from(names), word, max_size=5))
    def fuzz(given):
        made = []
        if held(lambda: made.append(parse(recipe, given)), BadInput):
            assert isinstance(made[0], Settings)
            assert settings_of(recipe)(**json.loads(made[0].canonical())) == made[0]

    fuzz()


@BOUNDED
@given(word, st.dictionaries(st.sampled_from(PARTS), anything))
def test_places_and_regions(text, where):
    held(lambda: parse_where("0123", text), BadInput)
    held(lambda: checked(where), BadInput)
    held(lambda: checked_region(where), BadInput)


@BOUNDED
@given(st.text(max_size=60) | st.builds("{} = {}".format, st.sampled_from(configuration.KEYS), st.text(max_size=30)))
def test_settings_files(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("toml")
    (folder / "landscape.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    before = dict(os.environ)
    try:
        held(lambda: configuration.read(folder), BadInput)
    finally:
        os.environ.clear()
        os.environ.update(before)


@BOUNDED
@given(st.text(max_size=40) | st.builds("{}{}{}".format, st.sampled_from(["localhost", "127.0.0.1", "[::1]"]),
                                        st.sampled_from([":", "@", ".", "#", "/", "\\", "?", " ", "%00", "\t", ";"]),
                                        st.text(max_size=9)))
def test_hosts(text):
    """What reads as one of our names is one, with at most a port behind it."""
    name = gate._name(text)
    if name in ("localhost", "127.0.0.1", "::1"):
        rest = text.lower().removeprefix(f"[{name}]").removeprefix(name).removeprefix(".")
        assert rest == "" or (rest[0] == ":" and rest[1:].isdecimal()), text


def test_lines_of_the_engine():
    """Whatever comes over a line is a message or the end of it; what is announced is not allocated before it comes."""
    ours, theirs = socket.socketpair()
    send(ours, ["save", ["key", b"bytes" * 20], {"cpu": 1.5}])
    ours.close()
    with theirs:
        whole = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
    for data in damaged(whole, seed=3):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            writer = threading.Thread(target=lambda end=ours, data=data: (end.sendall(data), end.shutdown(socket.SHUT_WR)))
            writer.start()
            held(lambda end=theirs: receive(end), ConnectionError, ValueError, KeyError, IndexError, TypeError, struct.error)
            writer.join()


@pytest.mark.parametrize("page", ["overview", "valleys", "posterior", "runs", "checkpoints"])
def test_pages_with_nonsense_in_their_address(page, tmp_path, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("LANDSCAPE_HOME", str(tmp_path))

    @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(QUERY), word))
    def fuzz(query):
        app = AppTest.from_file(str(ROOT / "landscape/ui/main.py"), default_timeout=30).run()
        app.query_params.update(query)
        app.switch_page(f"../../pages/{page}.py").run()
        assert not app.exception, (query, app.exception)

    fuzz()
