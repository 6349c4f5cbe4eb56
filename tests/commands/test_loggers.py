"""The CSV and MLflow loggers, and the HPARAMS tab of TensorBoard."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import FAST

from hemexp.commands import train as job
from hemexp.commands.train import train
from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import Interrupted, UserError
from hemexp.files.result import NO_LEAKAGE

pytestmark = pytest.mark.usefixtures("undrawn")
TAGS = "tags=[pilot,x]"


def curve(table: pd.DataFrame, name: str) -> list[float]:
    return table.dropna(subset=[name])[name].tolist()


def interrupt(*_: object) -> None:
    raise Interrupted("stopped by the test")


def test_csv_holds_curves_scores_and_settings_also_of_a_resumed_run(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "logger=csv", TAGS, *FAST])
    with monkeypatch.context() as patched:
        patched.setattr(job, "evaluate", interrupt)
        with pytest.raises(Interrupted, match="resumes"):
            train(cfg, tmp_path)
    result = train(cfg, tmp_path)
    table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
    history = pd.read_csv(tmp_path / "history.csv")
    np.testing.assert_allclose(curve(table, "train/loss"), history["train/loss"])
    assert curve(table, "test/auroc") == [result.metrics["test/auroc"].value]
    assert "optimizer.lr: 0.001" in (tmp_path / "csv" / "hparams.yaml").read_text()
    assert result.tags == ["pilot", "x"]


def test_tensorboard_is_always_written_and_holds_the_tags(workbooks: Path, tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(load_config(TrainConfig, [f"data.root={workbooks}", "logger=csv", TAGS, *FAST]), tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert len(board.Scalars("train/loss")) == 3
    (tags,) = board.Tensors("tags/text_summary")
    assert tags.tensor_proto.string_val == [b"pilot, x"]


def test_a_logger_does_not_change_the_config_hash():
    assert config_hash(load_config(TrainConfig, ["logger=csv", TAGS])) == config_hash(load_config(TrainConfig))


def test_a_missing_package_is_refused_by_the_configuration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hemexp.config.sweeps.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"logger=mlflow: .*hemexp\[mlflow\]"):
        load_config(TrainConfig, ["logger=mlflow"])


needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow-skinny is not installed")


@needs_mlflow
@pytest.mark.slow
def test_mlflow_holds_a_resumed_run_once(workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "logger=mlflow", TAGS, *FAST])
    store = MlflowClient((tmp_path / "outputs" / "mlruns").as_uri())
    with monkeypatch.context() as patched:
        patched.setattr(job, "evaluate", interrupt)
        with pytest.raises(Interrupted):
            train(cfg, Path("a"))
    (experiment,) = (experiment for experiment in store.search_experiments() if experiment.name == "hemexp")
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    result = train(cfg, Path("a"))
    other = load_config(TrainConfig, [f"data.root={workbooks}", "logger=mlflow", "seed=1", *FAST])
    train(other, Path("sweep/3"))
    runs = {run.info.run_name: run for run in store.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["a", "sweep/3"]
    run = runs["a"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["config_hash"] == config_hash(cfg)
    assert run.data.tags["conclusion"] == "not_evaluated"
    assert (run.data.tags["verdict"], run.data.tags["tags"]) == (NO_LEAKAGE, "pilot, x")
    assert run.data.params["optimizer.lr"] == "0.001"
    assert run.data.metrics["test/auroc"] == result.metrics["test/auroc"].value
    losses = store.get_metric_history(run.info.run_id, "train/loss")
    history = pd.read_csv("a/history.csv")
    assert [loss.step for loss in losses] == [0, 1, 2]
    np.testing.assert_allclose([loss.value for loss in losses], history["train/loss"])
    assert json.loads(Path("a/mlflow.json").read_text())["run_id"] == run.info.run_id


@pytest.mark.slow
@needs_mlflow
def test_a_tracking_uri_that_cannot_be_written_is_refused(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    uri = (tmp_path / "taken" / "store").as_uri()
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "logger=mlflow", f"logger.tracking_uri={uri}", *FAST])
    with pytest.raises(UserError, match=r"logger\.tracking_uri=file.*cannot write there"):
        train(cfg, tmp_path / "run")
