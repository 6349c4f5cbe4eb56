"""Bootstrap refits and label sensitivity: refits of the whole pipeline."""

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from hemexp.config.compose import label_definitions
from hemexp.evaluation.bootstrap import BootstrapRefits, bootstrap_refits, draw_samples
from hemexp.evaluation.cross_validation import cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.label_sensitivity import divide_by_label, label_sensitivity
from hemexp.evaluation.pipeline import Pipeline
from hemexp.evaluation.plan import plan_folds
from hemexp.training.fit import fit


def refit(pipeline: Pipeline, num_refits: int) -> BootstrapRefits:
    samples, seeds = draw_samples(pipeline.labels, range(80), num_refits, seed=0)
    members = [pipeline.member(rows, seed) for rows, seed in zip(samples, seeds, strict=True)]
    return bootstrap_refits(pipeline, samples, fit(members, pipeline.cfg.trainer))


def test_a_model_that_learns_noise_is_optimistic(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline("model=random_forest", "model.num_trees=30", signal=0.0)
    refitted = refit(pipeline, 30)
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
    refitted = refit(pipeline, 5)
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
    divided = divide_by_label([pipeline, pipeline], chosen, range(80), 2)
    assert [len(each.folds) for each in divided] == [0, 10, 0]
    members = [fit_.member() for each in divided for fit_ in plan_folds(each.pipelines[:1], each.folds)]
    fitted = fit(members, pipeline.cfg.trainer)
    scores = label_sensitivity(divided, [fitted, fitted], done)
    rows = {row.label: row for row in scores}
    assert [row.is_run_label for row in rows.values()] == [True, False, False]
    assert rows["onset_48h"].auroc == done[0].score("auroc")
    assert rows["onset_24h"].auroc.value == pytest.approx(rows["onset_48h"].auroc.value, abs=0.1)
    assert rows["absolute_12_5ml"].note == "too few"
    assert rows["absolute_12_5ml"].auroc.value is None
