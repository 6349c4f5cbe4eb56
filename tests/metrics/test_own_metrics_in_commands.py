"""Metrics that a user adds, through a run, a sweep, their pages and predict.py."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import fbeta_score, matthews_corrcoef
from small import ROOT, STANDARD
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hemexp.commands.predict import predict
from hemexp.commands.report import report
from hemexp.commands.train import train
from hemexp.config import PredictConfig, ReportConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError

MCC = "torchmetrics.classification.BinaryMatthewsCorrCoef"
EXAMPLE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8").partition("## Your own metric")[2]
(CODE,) = re.findall(r"```python\n(.*?)```", EXAMPLE.partition("\n## ")[0], flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module of docs/extend.md."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_metrics.py").write_text(CODE)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, workbooks: Path) -> Path:
    """A finished run with two added metrics; tests only read it."""
    settings = [f"data.root={workbooks}", "model=ridge2", *STANDARD, f"metrics=[my_metrics.f2,{MCC}]"]
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        train(load_config(TrainConfig, settings), folder / "run")
    return folder / "run"


def read(path: Path) -> dict:
    return json.loads((path / "result.json").read_text())


def test_the_scores_of_a_run_agree_with_scikit_learn(run: Path):
    result, predictions = read(run), pd.read_csv(run / "predictions.csv")
    test = predictions[predictions["role"] == "test"]
    flagged = test["probability"] >= 0.5
    f2, mcc = result["metrics"]["test/f2"], result["metrics"]["test/BinaryMatthewsCorrCoef"]
    assert f2["value"] == pytest.approx(fbeta_score(test["label"], flagged, beta=2))
    assert mcc["value"] == pytest.approx(matthews_corrcoef(test["label"], flagged), abs=1e-6)
    assert f2["low"] <= f2["value"] <= f2["high"]
    assert result["own_metrics"] == [
        {"name": "f2", "text": "F2 score", "higher_is_better": True, "source": "my_metrics.f2"},
        {"name": "BinaryMatthewsCorrCoef", "text": "BinaryMatthewsCorrCoef", "higher_is_better": True, "source": MCC},
    ]


def test_the_folds_of_the_model_and_of_the_baselines_are_scored(run: Path):
    scores, risks = pd.read_csv(run / "cv_scores.csv"), pd.read_csv(run / "cv_predictions.csv")
    for (model, fold), part in risks.groupby(["model", "fold"]):
        row = scores[(scores["model"] == model) & (scores["fold"] == fold)].iloc[0]
        assert row["f2"] == pytest.approx(fbeta_score(part["label"], part["probability"] >= 0.5, beta=2))
    result = read(run)
    means = scores.groupby("model")["f2"].mean()
    assert result["metrics"]["cv/f2"]["value"] == pytest.approx(means["ridge2"])
    for row in result["comparison"]:
        assert row["own_metrics"]["f2"]["value"] == pytest.approx(means[row["model"]])


def test_console_page_and_tensorboard_show_them(
    run: Path, folder: Path, workbooks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.syspath_prepend(folder)
    quick = [f"data.root={workbooks}", "model=volume", "evaluation=off", "metrics=[my_metrics.f2]"]
    result = train(load_config(TrainConfig, quick), tmp_path / "quick")
    assert re.search(rf"F2 score +│ +{result.metrics['test/f2'].value:.3f} \(", capsys.readouterr().out)
    copied = shutil.copytree(run, tmp_path / "copied")
    html = report(load_config(ReportConfig, [f"run_dir={copied}"]), tmp_path / "page").read_text(encoding="utf-8")
    assert html.count("F2 score") == 2  # table of all scores, comparison with the baselines
    row = html.partition("All scores")[2].partition("F2 score")[2].partition("</tr>")[0]
    assert all(f"{read(run)['metrics'][key]['value']:.3f} (" in row for key in ("cv/f2", "test/f2"))
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    metrics = read(run)["metrics"]
    for key in ("test/f2", "cv/f2", "cv/BinaryMatthewsCorrCoef"):
        assert board.Scalars(key)[0].value == pytest.approx(metrics[key]["value"])


@pytest.mark.parametrize("place", [".", "model"])
def test_predict_imports_torchmetrics_by_itself_and_other_code_where_it_is_named(
    place: str, run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    new = ["data=synthetic", "data.num_patients=60", "data.seed=5", f"run_dir={run / place}"]
    with caplog.at_level(logging.WARNING):
        result = predict(load_config(PredictConfig, new), tmp_path / "without")
    assert "F2 score, a metric of the run, is not computed" in caplog.text
    assert "metrics=[my_metrics.f2]" in caplog.text
    assert "test/f2" not in result.metrics
    predictions = pd.read_csv(tmp_path / "without" / "predictions.csv").query("role == 'test'")
    expected = matthews_corrcoef(predictions["label"], predictions["probability"] >= 0.5)
    assert result.metrics["test/BinaryMatthewsCorrCoef"].value == pytest.approx(expected, abs=1e-6)
    monkeypatch.syspath_prepend(folder)
    result = predict(load_config(PredictConfig, [*new, "metrics=[my_metrics.f2]"]), tmp_path / "with")
    expected = fbeta_score(predictions["label"], predictions["probability"] >= 0.5, beta=2)
    assert result.metrics["test/f2"].value == pytest.approx(expected)
    assert {metric.name for metric in result.own_metrics} == {"f2", "BinaryMatthewsCorrCoef"}


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(ROOT / "train.py"), "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_sweep_is_ranked_by_an_own_metric_and_its_page_shows_it(folder: Path, workbooks: Path, tmp_path: Path):
    settings = [f"data.root={workbooks}", "model=ridge2,hours", "evaluation.num_repeats=1", "metrics=[my_metrics.f2]"]
    done = sweep(folder, *settings, "search.score=f2", f"hydra.sweep.dir={tmp_path / 's'}")
    assert done.returncode == 0, done.stderr
    board = pd.read_csv(tmp_path / "s" / "leaderboard.csv")
    assert (board["score"] == board["cv/f2"]).all()
    assert board["score"].is_monotonic_decreasing
    assert {"cv/f2_low", "test/f2"} <= set(board.columns)
    summary = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert (summary["ranked_by"], summary["lower_is_better"]) == ("cv/f2", False)
    assert summary["winner"]["baseline"]["value"] is not None
    assert summary["winner"]["reevaluation"]["value"] is not None
    html = report(load_config(ReportConfig, [f"sweep_dir={tmp_path / 's'}"]), tmp_path / "p").read_text("utf-8")
    assert "F2 score, cross-validated: higher is better" in html


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["search=random", "evaluation.patients=train", "search.num_trials=3"]])
def test_a_sweep_with_a_wrong_metric_is_refused_before_anything_is_written(options: list[str], tmp_path: Path):
    (tmp_path / "wrong.py").write_text("def f(labels, probabilities):\n    return None\n")
    done = sweep(tmp_path, "model.kernel_size=3,5", "metrics=[wrong.f]", *options)
    assert done.returncode == 2, done.stderr
    assert "metrics=wrong.f: returned NoneType, not a number" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["wrong.py"]


def test_a_metric_that_fails_only_on_the_patients_ends_the_run_with_its_name(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = (
        "def f(labels, probabilities):\n    if len(labels) != 60:\n        raise ValueError('too few')\n    return 1\n"
    )
    (tmp_path / "late.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "model=volume", "evaluation=off", "metrics=[late.f]"])
    with pytest.raises(
        UserError, match=r"metrics=late\.f: raised ValueError: too few; it was called with \d+ patients"
    ):
        train(cfg, tmp_path / "run")
    assert "too few" in (tmp_path / "run" / "FAILED").read_text()
