"""The settings of a posterior: complete for every task, and words for those that cannot be."""

import pytest

from landscape import catalog
from landscape.errors import BadInput
from landscape.settings import parse


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
    ({"grid": "3"}, "grid"),
])
def test_bad_settings_say_what_is_wrong(given, said):
    with pytest.raises(BadInput, match=said):
        parse("posterior", given)


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


def test_the_walk_is_the_one_averaging_trains():
    """Equal settings of training, so that one parent serves both."""
    names = parse("walk", {"task": "mnist1d"})
    s = parse("posterior", {"task": "mnist1d"})
    assert all(getattr(s, name) == getattr(names, name) for name in type(names).model_fields)
