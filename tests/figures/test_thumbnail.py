"""Small pictures: well-formed, small, and of the colours of the map."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from drawn import make_surface
from PIL import Image

from landscape.errors import BadInput
from landscape.figures import levels, style
from landscape.figures import thumbnail as T


def drawn(surface):
    scale = levels.common_scale([surface.values["train_loss"]], surface.info["cap"]["train_loss"])
    svg = T.thumbnail(surface, "train_loss", scale)
    raster = re.search("base64,([^\"]+)", svg)[1]
    return svg, np.asarray(Image.open(io.BytesIO(base64.b64decode(raster)))), scale


def colour(text: str) -> list[int]:
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


def test_it_is_a_small_well_formed_picture(surface):
    svg, pixels, _ = drawn(surface)
    root = ElementTree.fromstring(svg)
    assert len(svg) < 60_000
    assert pixels.shape[1] == T.PIXELS
    tags = [child.tag.rsplit("}")[-1] for child in root]
    assert tags.count("polyline") == 4, "the segment and the curve, each with a casing"
    assert tags.count("rect") == 3, "one for each mark"
    assert svg.count("rotate(45") == 1, "the bend is a diamond"


def test_pixels_have_the_colour_of_their_band(surface):
    _, pixels, scale = drawn(surface)
    (x0, x1), (y0, y1) = T.window(surface)

    def at(x, y):
        row = round((y1 - y) / (y1 - y0) * (pixels.shape[0] - 1))
        return pixels[row, round((x - x0) / (x1 - x0) * (pixels.shape[1] - 1))]

    assert list(at(0, 0)) == [*colour(style.ramp(0)), 255], "the lowest band around a network"
    assert list(at(13, 7.5)) == [*colour(style.BEYOND), 255], "above the cap"
    first = set(map(tuple, pixels.reshape(-1, 4)))
    assert len(first) <= scale.n + 2, "flat bands, and nothing for what is not known"


def test_what_is_not_known_is_transparent():
    surface = make_surface()
    for values in surface.values.values():
        values[:] = np.nan
    _, pixels, _ = drawn(surface)
    assert (pixels[..., 3] == 0).all()


def test_the_window_holds_the_marks_and_stays_on_the_surface(surface):
    (x0, x1), (y0, y1) = T.window(surface)
    assert (x0, x1) == (surface.axes[0][0], surface.axes[0][-1])
    assert surface.axes[1][0] <= y0 < y1 <= surface.axes[1][-1]
    assert (x1 - x0) / (y1 - y0) == pytest.approx(T.ASPECT)
    assert all(y0 <= m.y <= y1 for m in surface.marks)


def test_an_unknown_metric_is_named(surface):
    with pytest.raises(BadInput, match="train_loss"):
        T.thumbnail(surface, "train_lss", levels.Scale(0, 1, -5, False))
