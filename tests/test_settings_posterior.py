"""The settings of a posterior: complete for every task, and words for those that cannot be."""

import pytest

from landscape import catalog
from landscape.errors import BadInput
from landscape.runs.records import identify
from landscape.settings import parse
from landscape.settings_posterior import Inference


@pytest.mark.parametrize(("given", "said"), [
    ({"draws": "0"}, "draws.*greater than or equal to 1"),
    ({"swag_draws": "0"}, "swag_draws"),
    ({"temperature": "0"}, "temperature.*greater than 0"),
    ({"temperature": "-1"}, "temperature.*greater than 0"),
    ({"temperature": "nan"}, "temperature"),
    ({"prior_std": "0"}, "prior_std.*greater than 0"),
    ({"prior_std": "inf"}, "prior_std"),
    ({"weights_prior_std": "-2"}, "weights_prior_std"),
    ({"methods": "ess,esss"}, "Did you mean 'ess'"),
    ({"methods": ""}, "one or more different names"),
    ({"methods": "ess,ess"}, "different names"),
    ({"subspace": "pac"}, "Did you mean 'pca'"),
    ({"subspace": "curve", "dimension": "5"}, "has 2 dimensions, found dimension=5"),
    ({"compared": "pca,curv"}, "Did you mean 'curve'"),
    ({"compared": "curve", "seeds": "3"}, "two trained networks"),
    ({"reference": "hmc"}, "no reference among the methods 'hmc'"),
    ({"temperatures": "1,0"}, "above 0"),
    ({"prior_stds": "1,1"}, "different"),
    ({"swag_rank": "1"}, "swag_rank"),
    ({"swag_deviations": "runing"}, "Did you mean 'running'"),
    ({"grid": "3"}, "grid"),
])
def test_bad_settings_say_what_is_wrong(given, said):
    with pytest.raises(BadInput, match=said):
        parse("posterior", given)


SHORT = {"task": "moons", "epochs": "16", "subspace": "pca", "dimension": "9", "compared": ""}  # 4 snapshots


def test_a_subspace_of_too_many_dimensions_is_refused_where_all_methods_need_it():
    with pytest.raises(BadInput, match=r"4 snapshots.*at most 3 .*found dimension=9\. Choose a dimension from 2 to 3"):
        parse("posterior", SHORT | {"methods": "ess,nuts"})
    with pytest.raises(BadInput, match="at most 3"):
        parse("posterior", SHORT | {"methods": "ess", "subspace": "random", "scaling": "singular values"})
    assert "from 2 to 3" in parse("posterior", SHORT | {"methods": "ess,swag"}).unspanned
    assert "from 2 to 3" in parse("posterior", SHORT | {"methods": "ess", "compared": "curve"}).unspanned


@pytest.mark.parametrize("given", [{"dimension": "3"}, {"subspace": "random", "scaling": "unit"}])
def test_a_subspace_that_the_snapshots_span_or_that_needs_none_is_not_refused(given):
    assert parse("posterior", SHORT | {"methods": "ess"} | given).unspanned == ""


@pytest.mark.parametrize("given", [{"prior_std": "1e38"}, {"temperature": "1e-300"}, {"prior_stds": "1e-300,1"}])
def test_numbers_beyond_single_precision_are_refused(given):
    with pytest.raises(BadInput, match="from 1e-30 to 1e"):
        parse("posterior", {"task": "moons"} | given)


@pytest.mark.parametrize("task", catalog.TASKS)
def test_every_task_has_a_posterior(task):
    s = parse("posterior", {"task": task})
    assert set(s.methods) <= set(catalog.METHODS)
    own = catalog.POSTERIORS.get(task, {})
    assert {name: getattr(s, name) for name in own} == own


def test_the_tasks_reference_is_for_the_tasks_methods():
    assert parse("posterior", {"task": "regression"}).reference == "hmc"
    assert parse("posterior", {"task": "regression", "methods": "ess,swag"}).reference is None
    assert parse("posterior", {"task": "regression", "methods": "ess,swag", "reference": "ess"}).reference == "ess"


def test_runs_of_before_there_were_conventions_keep_their_keys():
    s = parse("posterior", {"task": "moons"})
    assert s.swag_deviations == "final"
    assert "swag_deviations" not in s.canonical()
    other = parse("posterior", {"task": "moons", "swag_deviations": "reference"})
    assert '"swag_deviations":"reference"' in other.canonical()


def test_the_walk_is_the_one_averaging_trains():
    """Equal settings of training, so that one parent serves both."""
    names = parse("walk", {"task": "mnist1d"})
    s = parse("posterior", {"task": "mnist1d"})
    assert all(getattr(s, name) == getattr(names, name) for name in type(names).model_fields)


def test_runs_of_before_there_was_a_precision_keep_their_keys():
    for recipe, given in (("posterior", {"task": "moons"}), ("around", {"source": "0123456789abcdef"})):
        plain = parse(recipe, given)
        assert plain.precision == "float32"
        assert "precision" not in plain.canonical()
        assert parse(recipe, given | {"precision": "float32"}).canonical() == plain.canonical()
        assert '"precision":"bfloat16"' in parse(recipe, given | {"precision": "bfloat16"}).canonical()
        with pytest.raises(BadInput, match="Did you mean 'bfloat16'"):
            parse(recipe, given | {"precision": "bfloat61"})


def test_only_runs_whose_chains_go_in_several_blocks_have_another_key():
    """All chains once went together: those results are others, and all others are as they were."""
    def key(**given):
        return identify("posterior", {"task": "moons", "methods": ("ess",), "reference": None, "compared": (),
                                      "temperatures": (), "prior_stds": (), **given}).key

    def former(**given):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Inference, "revision", 0)
            return key(**given)

    assert key() == former()
    assert key(chains=16) == former(chains=16)
    assert key(chains=17) != former(chains=17)
    assert key(methods=("ess", "nuts"), chains=4) == former(methods=("ess", "nuts"), chains=4)
    assert key(methods=("ess", "nuts"), chains=5) != former(methods=("ess", "nuts"), chains=5)
    assert key(methods=("vi",), chains=32) == former(methods=("vi",), chains=32)  # no chains
    assert key(methods=("vi",), chains=32, temperatures=(1.0,)) != former(methods=("vi",), chains=32, temperatures=(1.0,))
