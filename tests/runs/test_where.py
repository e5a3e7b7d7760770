"""Places as text: what goes into a URL comes out of it as the same place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import BadInput
from landscape.runs.where import checked, parse_where, text

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30).filter(
    lambda name: name.strip() and name.isprintable() and not name.startswith("="))


@given(NAMES, NUMBERS, NUMBERS)
def test_a_point_of_a_plane_comes_back_to_the_last_bit(name, x, y):
    place = {"run": "k", "plane": name, "x": x, "y": y}
    assert parse_where("k", text(place)) == place


@given(NAMES, st.floats(0, 1))
def test_a_point_of_a_path_comes_back_to_the_last_bit(name, t):
    place = {"run": "k", "path": name, "t": t}
    assert parse_where("k", text(place)) == place


@given(NAMES)
def test_a_network_comes_back(name):
    place = {"run": "k", "network": name}
    assert parse_where("k", text(place)) == place


def test_the_forms_are_those_that_urls_show():
    assert text({"run": "k", "plane": "optima", "x": 1.25, "y": -3.5}) == "optima:1.25,-3.5"
    assert text({"run": "k", "path": "bezier", "t": 0.42}) == "bezier@0.42"
    assert text({"run": "k", "network": "w1 (seed 0)"}) == "=w1 (seed 0)"
    assert parse_where("k", "line 1@1e-3") == {"run": "k", "path": "line 1", "t": 1e-3}
    assert parse_where("k", "optima: 1 , 2 ") == {"run": "k", "plane": "optima", "x": 1.0, "y": 2.0}


@pytest.mark.parametrize(("wrong", "message"), [
    ("", "names no place"), ("optima", "names no place"), ("optima:1", "names no place"),
    ("optima:1,2,3", "names no place"), ("optima:nan,0", "x of a place must be a finite number, found 'nan'"),
    ("optima:0,inf", "y of a place"), ("optima:a,b", "found 'a'"), ("optima:,1", "finite number"),
    ("bezier@", "t of a place"), ("bezier@1.5", "from t=0 to t=1"), ("bezier@-0.1", "from t=0"),
    ("=", "1 to 200 characters"), ("=" + "x" * 201, "1 to 200 characters"), ("optima:1_0,2", "finite number"),
    (None, "as text"), (":1,2", "names no place"), ("=a\nb", "characters"),
])
def test_what_is_no_place_is_explained(wrong, message):
    with pytest.raises(BadInput, match=message):
        parse_where("k", wrong)


@pytest.mark.parametrize("wrong", [
    {}, {"run": "k"}, {"plane": "optima", "x": 0, "y": 0}, {"run": "k", "plane": "optima", "x": 0}, "optima:1,2", None,
    {"run": "k", "plane": "optima", "x": True, "y": 0}, {"run": "k", "plane": "optima", "x": 0, "y": [1]},
    {"run": "k", "plane": "optima", "x": 0, "y": 0, "t": 0}, {"run": 3, "network": "w"}, {"run": "k", "network": 7},
    {"run": "k", "plane": "optima", "x": 10**400, "y": 0},
])
def test_a_dict_that_is_no_place_is_refused(wrong):
    with pytest.raises(BadInput):
        checked(wrong)
