from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hemexp.evaluation.attributions import attributions
from hemexp.evaluation.cross_validation import cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.pipeline import Pipeline


@pytest.mark.slow
def test_the_only_predictive_input_is_the_most_important(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline(signal=4.0)
    folds = repeated_folds(pipeline.labels, range(80), 5, 2, seed=0)
    (validated,) = cross_validate([pipeline], folds, pipeline.cfg.trainer)
    summary, table = attributions(pipeline, validated, permutations=2)
    assert table.columns.tolist() == ["feature", "importance", "low", "high", "top10_share"]
    assert table["feature"][0] == summary.top[0] == "x0"
    assert table["low"][0] > 0
    assert summary.clear[0] == "x0"
    assert len(summary.clear) < len(table)
    assert (table["low"][1:] <= 0.02).all()
    assert summary.num_fits == 10
    assert -1 <= summary.rank_correlation <= 1
    again, _ = attributions(pipeline, validated, permutations=2)
    assert again == summary


def test_a_model_without_inputs_has_no_attributions(make_pipeline: Callable[..., Pipeline]):
    pipeline = replace(make_pipeline(), features=(), raw=np.zeros((80, 0)))
    assert attributions(pipeline, None, permutations=1) is None
