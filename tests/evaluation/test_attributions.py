from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hemexp.evaluation.attributions import attributions
from hemexp.evaluation.cross_validation import cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.pipeline import Pipeline


@pytest.mark.slow
def test_the_input_that_tells_is_found_and_the_others_are_noise(make_recipe: Callable[..., Pipeline]):
    pipeline = make_recipe(signal=4.0)
    parts = repeated_folds(pipeline.labels, range(80), 5, 2, seed=0)
    (found,) = cross_validate([pipeline], parts, pipeline.cfg.trainer)
    block, table = attributions(pipeline, found, permutations=2)
    assert table.columns.tolist() == ["feature", "importance", "low", "high", "top10_share"]
    assert table["feature"][0] == block["top"][0] == "x0"
    assert table["low"][0] > 0
    assert block["clear"][0] == "x0"
    assert len(block["clear"]) < len(table)
    assert (table["low"][1:] <= 0.02).all()
    assert block["num_fits"] == 10
    assert -1 <= block["rank_correlation"] <= 1
    again, _ = attributions(pipeline, found, permutations=2)
    assert again == block


def test_a_model_without_inputs_has_none(make_recipe: Callable[..., Pipeline]):
    pipeline = replace(make_recipe(), features=(), raw=np.zeros((80, 0)))
    assert attributions(pipeline, None, permutations=1) is None
