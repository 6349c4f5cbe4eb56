"""Bootstrap refits and label sensitivity: refits of the whole pipeline."""

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from hemexp.config.compose import label_definitions
from hemexp.evaluation.bootstrap import bootstrap_refits
from hemexp.evaluation.cross_validation import cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.label_sensitivity import label_sensitivity
from hemexp.evaluation.pipeline import Pipeline


def test_a_model_that_learns_noise_is_optimistic(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline("model=random_forest", "model.num_trees=30", signal=0.0)
    refitted = bootstrap_refits(pipeline, range(80), 30, 0, pipeline.cfg.trainer)
    assert (refitted.risks.shape, refitted.refits.shape) == ((80,), (30, 80))
    auroc = refitted.optimism.auroc
    assert auroc.apparent > 0.95
    assert auroc.corrected == pytest.approx(auroc.apparent - auroc.optimism)
    assert auroc.corrected < 0.9
    assert len(refitted.table) == 80
    assert (refitted.table["low"] <= refitted.table["high"]).all()
    assert refitted.instability.mean_absolute_difference > 0.05


def test_a_pipeline_with_published_weights_has_no_instability(make_pipeline: Callable[..., Pipeline]):
    pipeline = replace(
        make_pipeline("model=brain"),
        raw=np.tile([20_000.0, 2.0, 1.0], (80, 1)),
        features=("HM_volume", "onset_to_first_scan", "stroke_history"),
    )
    refitted = bootstrap_refits(pipeline, range(80), 5, 0, pipeline.cfg.trainer)
    assert refitted.instability.mean_absolute_difference == 0


def test_every_label_definition_gets_a_row(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline()
    definitions = label_definitions()
    assert len(definitions) == 10
    assert asdict(definitions["onset_48h"]) == asdict(pipeline.cfg.label)
    rare = np.where(np.arange(80) < 3, 1.0, 0.0)
    labels = {"onset_48h": pipeline.labels, "onset_24h": 1 - pipeline.labels, "absolute_12_5ml": rare}
    folds = repeated_folds(pipeline.labels, range(80), 5, 2, seed=0)
    done = cross_validate([pipeline, pipeline], folds, pipeline.cfg.trainer)
    chosen = {name: (definitions[name], values) for name, values in labels.items()}
    scores = label_sensitivity([pipeline, pipeline], chosen, range(80), 2, done)
    rows = {row.label: row for row in scores}
    assert [row.is_run_label for row in rows.values()] == [True, False, False]
    assert rows["onset_48h"].auroc == done[0].score("auroc")
    assert rows["onset_24h"].auroc.value == pytest.approx(rows["onset_48h"].auroc.value, abs=0.1)
    assert rows["absolute_12_5ml"].note == "too few"
    assert rows["absolute_12_5ml"].auroc.value is None
