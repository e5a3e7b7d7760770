"""Lines between and through checkpoints, and the barrier in words."""

import numpy as np
import pytest

from landscape.errors import BadInput
from landscape.figures import lines
from landscape.results import METRICS, Profile


def path(top: float, ends=(0.2, 0.4), kind: str = "segment") -> Profile:
    """A straight line between the ends plus a bump of ``top`` in the middle."""
    t = np.linspace(0, 1, 41)
    values = {m: (1 - t) * ends[0] + t * ends[1] + top * np.sin(np.pi * t) ** 2 for m in METRICS}
    return Profile(kind, t, 20 * t, values)


def test_the_barrier_is_the_rise_above_the_line_through_the_ends():
    assert lines.barrier(path(1.5), "train_loss") == pytest.approx(1.5)
    assert lines.barrier(path(-0.1), "train_loss") == pytest.approx(0, abs=1e-12)
    broken = path(1.0)
    broken.values["train_loss"][:] = np.nan
    assert np.isnan(lines.barrier(broken, "train_loss"))
    assert "not finite" in lines.barrier_in_words({"line": broken}, "train_loss")


def test_the_barrier_in_words():
    said = lines.barrier_in_words({"line": path(1.5), "matched": path(0.25), "bezier": path(0.0)}, "train_loss")
    assert said == ("Along the straight line train loss rises to 1.8 from 0.2 and 0.4: a barrier of 1.5; "
                    "after matching hidden units it is 0.25; along the trained curve it is none.")
    downhill = lines.barrier_in_words({"line": path(0.1, ends=(3.0, 0.5))}, "train_loss")
    assert downhill == ("Along the straight line train loss goes from 3 to 0.5, in between above the line through these "
                        "two: a barrier of 0.1.")
    assert lines.barrier_in_words({"line": path(-0.1)}, "train_loss").startswith("There is no barrier")
    assert lines.barrier_in_words({"matched": path(0.1)}, "train_loss") == ""


def test_lines_between_share_t_and_lines_through_stand_around_the_network():
    figure = lines.between({"line": path(1.0), "matched": path(0.5)}, ("train_loss", "test_error"))
    assert [t.name for t in figure.data] == ["straight line", "line after matching hidden units"] * 2
    assert figure.data[0].x[[0, -1]].tolist() == [0, 1]
    figure = lines.through({"line 1": path(1.0), "line 2": path(0.5)}, ("train_loss",))
    ticks = dict(zip(figure.layout.xaxis.tickvals, figure.layout.xaxis.ticktext, strict=True))
    assert [ticks[t] for t in (0, 0.5, 1)] == ["-10", "0", "10"]
    longer = Profile("segment", path(1).t, 2 * path(1).distance, path(1).values)
    assert lines.through({"line 1": path(1.0), "line 2": longer}, ("train_loss",)).layout.xaxis.tickvals is None
    with pytest.raises(BadInput, match="metric of this line"):
        lines.between({"line": path(1.0)}, ("train_los",))
