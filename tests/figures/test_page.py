"""The page that is handed on: complete, offline."""

import importlib.util
import json
import re

import pytest
from drawn import Shelf
from plotly.offline import get_plotlyjs

from landscape.errors import BadInput
from landscape.figures import page

KEY = "0123456789abcdef"


def test_standalone_is_complete_and_offline(library):
    html = page.standalone(library, KEY)
    ours = re.sub(r"<script>/\*\*.*?</script>", "", html, count=1, flags=re.S)  # without plotly.js itself
    assert len(ours) < 3_000_000 < len(html)
    assert not re.search(r"""<[^>]+\b(src|href)\s*=|url\(|@import""", ours)
    assert html.count(get_plotlyjs()[:400]) == 1, "plotly.js is there once"
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', html, re.S).group(1))
    assert {"map-optima", "relief-optima", "map-bezier", "relief-bezier", "profile", "history_training"} == set(figures)
    assert all(f'id="{name}"' in ours for name in figures)
    for text in ("Valleys &lt;mnist1d&gt;", "rises to 2.36", "all 4,000 train examples", "0.1, 0.2",
                 "01 January 1970, 01:00 UTC"):
        assert text in ours


def test_an_empty_run_says_so():
    with pytest.raises(BadInput, match="no surface"):
        page.standalone(Shelf({}), KEY)


def test_images_ask_for_kaleido(library, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"landscape\[export\]"):
        page.images(library, KEY, "png")
    with pytest.raises(BadInput, match="gif"):
        page.images(library, KEY, "gif")


def test_images_render_every_figure(library, monkeypatch):
    drawn = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(page.go.Figure, "to_image", lambda self, **how: drawn.append(how) or b"\x89PNG")
    found = page.images(library, KEY, "png")
    assert f"{KEY}-map-optima" in found
    assert f"{KEY}-profile" in found
    assert len(drawn) == len(found) == 6
    assert all(how["format"] == "png" for how in drawn)
