"""Tasks without some classes: the others as they were, numbered anew."""

import numpy as np
import pytest

from landscape.data import load
from landscape.data.held_out import named, parted
from landscape.errors import BadInput


def test_names_are_parted_and_made():
    assert parted("digits without 8,9") == ("digits", (8, 9))
    assert parted("digits") == ("digits", ())
    assert parted("file:cats without dogs.csv") == ("file:cats without dogs.csv", ())
    assert parted(named("digits", (9, 3, 9))) == ("digits", (3, 9))


def test_the_others_are_as_they_were():
    full, part = load("digits", 0, 600), load("digits without 3,7", 0, 600)
    assert part.outputs == 8
    assert part.classes == tuple(c for k, c in enumerate(full.classes) if k not in (3, 7))
    for name, split in full.splits.items():
        there = ~np.isin(split.y, (3, 7))
        own = getattr(part, name)
        assert (own.x == split.x[there]).all()
        assert [part.classes[k] for k in own.y] == [full.classes[k] for k in split.y[there]]
    assert "held out" in part.provenance


@pytest.mark.parametrize(("name", "said"), [
    ("digits without 10", "0 ... 9"),
    ("moons without 0", "at least two left"),
    ("regression without 0", "no classes to hold out"),
])
def test_what_cannot_be_held_out(name, said):
    with pytest.raises(BadInput, match=said):
        load(name)
