"""Settings: complete, hashable, and refused with the nearest right name."""

import pytest

from landscape import catalog
from landscape.errors import BadInput
from landscape.settings import parse


def test_a_task_fills_in_its_own_defaults():
    s = parse("valleys", {"task": "digits"})
    assert (s.widths, s.train_size, s.seeds) == ((32, 32), 600, (0, 1, 2))
    assert parse("valleys", {"task": "digits", "seeds": "0, 1, 2", "widths": "32,32"}) == s
    assert parse("valleys", {"task": "digits", "network": "conv"}).widths == catalog.NETWORKS["conv"].defaults["widths"]
    assert parse("valleys", {"task": "digits", "train_size": ""}).train_size is None


def test_equal_settings_have_equal_text_and_different_ones_do_not():
    a, b = parse("valleys", {"task": "digits", "lr": "0.10"}), parse("valleys", {"lr": 0.1, "task": "digits"})
    assert a.canonical() == b.canonical()
    assert a.canonical() != parse("valleys", {"task": "digits", "lr": 0.2}).canonical()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "digit"}, "Did you mean 'digits'"),
        ({"network": "mpl"}, "Did you mean 'mlp'"),
        ({"schedle": "x"}, "Did you mean 'schedule'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"seeds": "0,0,1"}, "must all differ"),
        ({"seeds": "0,1"}, "at least 3 seeds"),
        ({"seeds": "a,b,c"}, "seeds"),
        ({"grid": "100000"}, "this server's limit"),
        ({"grid": "0"}, "grid"),
        ({"widths": "0"}, "widths"),
        ({"widths": ""}, "widths"),
        ({"lr": "0"}, "greater than 0"),
        ({"lr": "nan"}, "lr"),
        ({"epochs": "-3"}, "greater than 0"),
        ({"batch_size": "0"}, "greater"),
        ({"activation": "rel"}, "relu"),
        ({"label_noise": "2"}, "less than or equal to 1"),
        ({"margin": "inf"}, "margin"),
        ({"weight_decay": "-1"}, "greater than or equal to 0"),
        ({"batchnorm": "on"}, "re-estimated"),
    ],
)
def test_bad_settings_say_what_is_wrong(given, said):
    with pytest.raises(BadInput, match=said):
        parse("valleys", given)


def test_the_grid_limit_is_the_servers(monkeypatch):
    monkeypatch.setenv("LANDSCAPE_MAX_GRID", "33")
    with pytest.raises(BadInput, match="33"):
        parse("valleys", {"grid": 51})
    assert parse("valleys", {"grid": 33}).grid == 33


def test_unknown_recipe():
    with pytest.raises(BadInput, match="Did you mean 'valleys'"):
        parse("valley", {})


@pytest.mark.parametrize("table", ["DATASETS", "NETWORKS", "SCHEDULES", "RECIPES"])
def test_every_catalog_row_resolves(table):
    for name, row in getattr(catalog, table).items():
        assert callable(row.load()), name
        assert row.title
        assert row.about


def test_every_task_has_a_dataset_and_complete_settings():
    for name in catalog.TASKS:
        assert name in catalog.DATASETS
        assert parse("valleys", {"task": name}).task == name


@pytest.mark.parametrize(("recipe", "given"), [("around", {"source": "1234"}), ("calibration", {"task": "moons"}),
                                               ("posterior", {"task": "digits"}), ("averaging", {}), ("valleys", {})])
def test_stored_settings_can_be_asked_for_again(recipe, given):
    made = parse(recipe, given)
    assert parse(recipe, made.model_dump(mode="json")) == made
