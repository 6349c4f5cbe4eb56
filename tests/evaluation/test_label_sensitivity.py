"""Refits of the whole pipeline."""

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


def test_optimism_of_a_model_that_learns_noise_is_found(make_recipe: Callable[..., Pipeline]):
    pipeline = make_recipe("model=random_forest", "model.num_trees=30", signal=0.0)
    blocks, risks, refits = bootstrap_refits(pipeline, range(80), 30, seed=0)
    assert (risks.shape, refits.shape) == ((80,), (30, 80))
    auroc = blocks["optimism"]["auroc"]
    assert auroc["apparent"] > 0.95
    assert auroc["corrected"] == pytest.approx(auroc["apparent"] - auroc["optimism"])
    assert auroc["corrected"] < 0.9
    table = blocks["table"]
    assert len(table) == 80
    assert (table["low"] <= table["high"]).all()
    assert blocks["instability"]["mean_absolute_difference"] > 0.05


def test_a_recipe_that_fits_nothing_is_stable(make_recipe: Callable[..., Pipeline]):
    pipeline = replace(make_recipe("model=brain"), raw=np.tile([20_000.0, 2.0, 1.0], (80, 1)), features=("a", "b", "c"))
    blocks, _, _ = bootstrap_refits(pipeline, range(80), 5, seed=0)
    assert blocks["instability"]["mean_absolute_difference"] == 0


def test_every_definition_gets_a_row(make_recipe: Callable[..., Pipeline]):
    pipeline = make_recipe()
    definitions = label_definitions()
    assert len(definitions) == 10
    assert asdict(definitions["onset_48h"]) == asdict(pipeline.cfg.label)
    rare = np.where(np.arange(80) < 3, 1.0, 0.0)
    labels = {"onset_48h": pipeline.labels, "onset_24h": 1 - pipeline.labels, "absolute_12_5ml": rare}
    parts = repeated_folds(pipeline.labels, range(80), 5, 2, seed=0)
    done = cross_validate([pipeline, pipeline], parts, pipeline.cfg.trainer)
    chosen = {name: (definitions[name], values) for name, values in labels.items()}
    rows = {row["label"]: row for row in label_sensitivity([pipeline, pipeline], chosen, range(80), 2, done)}
    assert [row["is_run_label"] for row in rows.values()] == [True, False, False]
    assert rows["onset_48h"]["auroc"] == done[0].score("auroc")
    assert rows["onset_24h"]["auroc"]["value"] == pytest.approx(rows["onset_48h"]["auroc"]["value"], abs=0.1)
    assert rows["absolute_12_5ml"]["note"] == "too few"
    assert rows["absolute_12_5ml"]["auroc"]["value"] is None
