"""Use a textbook cohort, WHAS500 of scikit-survival, as a mapped file; the outcome is death within a year."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

INPUTS = ["age", "gender", "hr", "sysbp", "diasbp", "bmi", "cvd", "afb", "sho", "chf", "av3", "miord", "mitype"]


@pytest.mark.slow
def test_the_scores_of_whas500_equal_those_of_a_scikit_learn_pipeline(run_command: Callable[..., Any], tmp_path: Path):
    datasets = pytest.importorskip("sksurv.datasets")
    inputs, follow_up = datasets.load_whas500()
    table = inputs[INPUTS].astype(float).reset_index(drop=True)
    table["died"] = (follow_up["fstat"] & (follow_up["lenfol"] <= 365)).astype(int)
    table.insert(0, "id", [f"W{number:03d}" for number in range(len(table))])
    table.to_csv(tmp_path / "whas500.csv", index=False)
    label = ["label=column", "label.column=died"]
    prepared = run_command("prepare.py", "data.root=whas500.csv", *label, "output_dir=prepared")
    assert prepared.returncode == 2
    assert "Which value means male?" in prepared.stderr
    mapping = tmp_path / "prepared" / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("answer: null", "answer: 0 = male, 1 = female"))
    columns = f"features.columns=[{','.join(INPUTS)}]"
    data = ["data.root=whas500.csv", "data.mapping=prepared/mapping.yaml", *label, "features=columns", columns]
    model = ["model=logistic", "model.C=1.0", "split=stratified", "evaluation.threshold_repeats=0"]
    done = run_command("train.py", *data, *model, "output_dir=run")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["conclusion"] == "better_than_baselines"

    predictions = pd.read_csv(tmp_path / "run" / "cv_predictions.csv")
    predictions = predictions[predictions["model"] == "logistic"]
    by_patient, scores = table.set_index("id"), []
    for _, fold in predictions.groupby(["repeat", "fold"]):
        test = fold["patient_id"]
        train = by_patient.drop(index=test)
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000))
        risks = pipeline.fit(train[INPUTS], train["died"]).predict_proba(by_patient.loc[test, INPUTS])[:, 1]
        np.testing.assert_allclose(fold["probability"], risks, atol=5e-4)  # hemexp stops earlier
        died = by_patient.loc[test, "died"]
        scores.append((roc_auc_score(died, risks), brier_score_loss(died, risks)))
    auroc, brier = np.mean(scores, axis=0)
    assert result["metrics"]["cv/auroc"]["value"] == pytest.approx(auroc, abs=1e-3)
    assert result["metrics"]["cv/brier"]["value"] == pytest.approx(brier, abs=1e-4)
    assert 0.78 < auroc < 0.82
    assert 0.15 < brier < 0.165
