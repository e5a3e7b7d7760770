"""Examples as pictures: what is true, what was said, and the pixels themselves."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image
from seen import classifier, pictures

from landscape.figures import examples, predictions


@pytest.fixture(scope="module")
def digits():
    return pictures("digits")


def images(html: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_the_most_wrong_come_first_with_their_own_pixels(digits):
    html = examples.most_wrong(digits)
    drawn = images(html)
    assert len(drawn) == examples.SHOWN
    assert drawn[0].shape == (8, 8, 4)
    raw = digits.examples["x"][0].reshape(8, 8)
    np.testing.assert_array_equal(drawn[0][..., 0], np.round(255 * (raw - raw.min()) / np.ptp(raw)))
    index = [int(i) for i in re.findall(r'<figure title="test example (\d+),', html)]
    np.testing.assert_array_equal(index, digits.examples["index"][: examples.SHOWN])


def test_captions_tell_true_and_predicted_classes(digits):
    p, targets, said = predictions.classified(digits)
    first = int(digits.examples["index"][0])
    caption = re.search("<figcaption>(.*?)</figcaption>", examples.most_wrong(digits))[1]
    assert f"true <b>{targets[first]}</b>" in caption
    assert f"<b>{said[first]}</b> {p[first].max():.0%}" in caption
    assert f'class="{"right" if said[first] == targets[first] else "wrong"}"' in caption


def test_signals_are_lines_that_are_well_formed():
    html = examples.most_wrong(pictures("mnist1d", 0.3), limit=3)
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert len(found) == 3
    root = ElementTree.fromstring(base64.b64decode(found[0]))
    points = next(child for child in root if child.tag.endswith("polyline")).get("points").split()
    assert len(points) == 40


def test_an_image_of_three_channels_and_a_flat_one_are_drawn():
    colour = np.zeros((3, 4, 5), np.float32)
    colour[0] = 1
    (pixels,) = images(examples.picture(colour, "image"))
    assert pixels.shape == (4, 5, 4)
    assert list(pixels[0, 0]) == [255, 0, 0, 255]
    (flat,) = images(examples.picture(np.ones((1, 2, 2)), "image"))
    assert (flat[..., :3] == 0).all()


def test_tables_are_numbers_and_names_are_escaped():
    p = np.array([[0.2, 0.8], [0.7, 0.3]])
    seen = classifier(p, np.array([0, 0]), info={"classes": ["<b>cat</b>", "dog"]},
                      examples={"index": np.array([0]), "x": np.arange(15.0)[None], "nll": np.array([1.6])})
    html = examples.most_wrong(seen)
    assert html.count("<td>") == examples.COLUMNS + 1
    assert "and 3 more" in html
    assert "&lt;b&gt;cat&lt;/b&gt;" in html
    assert "<b>cat</b>" not in html


def test_disagreements_show_both_answers_in_the_order_given(digits):
    other = pictures("digits", 0.05)
    order = predictions.differing(digits, other)
    html = examples.disagreements(digits, other, order)
    _, _, said = predictions.classified(digits)
    _, _, also = predictions.classified(other)
    carried = set(map(int, digits.examples["index"])) | set(map(int, other.examples["index"]))
    wanted = [int(i) for i in order if int(i) in carried][: examples.SHOWN]
    assert [int(i) for i in re.findall(r'title="test example (\d+)"', html)] == wanted
    for i, caption in zip(wanted, re.findall("<figcaption>(.*?)</figcaption>", html), strict=True):
        assert f"</i> <b>{said[i]}</b>" in caption
        assert f"</i> <b>{also[i]}</b>" in caption


def test_nothing_to_show_is_an_empty_text(digits):
    assert examples.disagreements(digits, digits, predictions.differing(digits, digits)) == ""
    assert examples.most_wrong(classifier(np.array([[0.2, 0.8]]), np.array([0]))) == ""
