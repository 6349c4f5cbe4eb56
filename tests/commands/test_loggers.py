"""The CSV and MLflow loggers, and the HPARAMS tab of TensorBoard."""

import importlib
import importlib.util
import json
import time
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from small import FAST, ROOT
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.api_pb2 import Experiment
from tensorboard.plugins.hparams.backend_context import Context
from torch.utils.tensorboard import SummaryWriter

from hemexp.commands import train as job
from hemexp.commands.hparams import (
    build_hparams_summaries,
    get_hparams,
    list_public_settings,
    rank_metrics,
    select_hparams,
)
from hemexp.commands.train import train
from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import CONFIG_DIR, load_config, register_schemas, typed
from hemexp.errors import Interrupted, UserError
from hemexp.files.result import NO_LEAKAGE, RunResult, Score
from hemexp.metrics.table import METRICS
from hemexp.training.loggers import EpochCSVLogger

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


def test_what_a_callback_logs_reaches_every_logger_in_one_row_an_epoch(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.syspath_prepend(ROOT / "tests" / "training")
    callback = ["engine=lightning", "trainer.batch_size=16", "callbacks.one._target_=own_networks.Logging"]
    train(load_config(TrainConfig, [f"data.root={workbooks}", "logger=csv", *FAST, *callback]), tmp_path)
    table = pd.read_csv(tmp_path / "csv" / "metrics.csv").dropna(subset=["train/loss"])
    assert table["step"].tolist() == [0, 1, 2]
    assert table["half"].tolist() == [0.0, 0.5, 1.0]
    assert table["number"].nunique() == 1  # of the last batch of each epoch
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.value for event in board.Scalars("half")] == [0.0, 0.5, 1.0]
    experiments = importlib.import_module("own_networks").Logging.seen
    assert [type(experiment).__name__ for experiment in experiments] == ["SummaryWriter", "ExperimentWriter"]


def test_what_a_callback_logged_before_an_interruption_stays_in_the_file(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(ROOT / "tests" / "training")
    callback = ["engine=lightning", "callbacks.one._target_=own_networks.Logging"]
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "logger=csv", *FAST, *callback])
    with monkeypatch.context() as patched:
        patched.setattr(job, "evaluate", interrupt)
        with pytest.raises(Interrupted, match="resumes"):
            train(cfg, tmp_path)
    train(cfg, tmp_path)
    table = pd.read_csv(tmp_path / "csv" / "metrics.csv").dropna(subset=["train/loss"])
    assert table["half"].tolist() == [0.0, 0.5, 1.0]


def test_tensorboard_is_always_written_and_holds_the_tags(workbooks: Path, tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(load_config(TrainConfig, [f"data.root={workbooks}", "logger=csv", TAGS, *FAST]), tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert len(board.Scalars("train/loss")) == 3
    (tags,) = board.Tensors("tags/text_summary")
    assert tags.tensor_proto.string_val == [b"pilot, x"]


@pytest.mark.parametrize(
    "override", ["logger=csv", "logger=mlflow", "logger=[tensorboard,csv,mlflow]", "logger.csv=true"]
)
def test_a_logger_does_not_change_the_config_hash(override: str):
    assert config_hash(load_config(TrainConfig, [override, TAGS])) == config_hash(load_config(TrainConfig))


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("logger=tensorboard", []),
        ("logger=csv", ["csv"]),
        ("logger=[mlflow,csv]", ["csv", "mlflow"]),
        ("logger=[tensorboard,csv]", ["csv"]),
        ("logger=[]", []),
    ],
)
def test_a_choice_of_loggers_is_one_or_a_list(override: str, names: list[str]):
    assert load_config(TrainConfig, [override]).logger.names == names


def test_an_experiment_of_the_user_chooses_several_loggers(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    file.write_text("# @package _global_\ndefaults:\n  - override /logger: [csv, mlflow]\nlogger:\n  tracking_uri: x\n")
    register_schemas()
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        config = compose("train", ["experiment=mine", f"hydra.searchpath=[file://{tmp_path}]"])
    logger = typed(config, TrainConfig).logger
    assert (logger.names, logger.tracking_uri) == (["csv", "mlflow"], "x")


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_refused_by_the_configuration(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hemexp.config.sweeps.find_spec", lambda module: None if module == name else object())
    with pytest.raises(UserError, match=rf'logger={name}: .*pip install "hemexp\[{name}\]"'):
        load_config(TrainConfig, [f"logger=[csv,{name}]"])


def job_result(cfg: TrainConfig, verdict: str = NO_LEAKAGE) -> RunResult:
    """Return a result with all scores, as of a finished job of a sweep."""
    scores = {f"{stage}/{name}": Score(value=0.5) for stage in ("test", "cv") for name in METRICS}
    texts = {field.name: "" for field in fields(RunResult) if field.default is MISSING}
    return replace(RunResult(**texts), verdict=verdict, metrics=scores)


def read_hparams(directory: Path) -> Experiment:
    """Return the answer of TensorBoard's HPARAMS plugin about a log directory."""
    provider = MultiplexerDataProvider(EventMultiplexer().AddRunsFromDirectory(str(directory)).Reload(), str(directory))
    backend, request = Context(TBContext(data_provider=provider)), RequestContext()
    runs = backend.hparams_metadata(request, "")
    return backend.experiment_from_metadata(request, "", True, runs, [])


def write_hparams(directory: Path, cfg: TrainConfig, result: RunResult, swept: dict[str, str]) -> None:
    with SummaryWriter(str(directory)) as writer:
        for summary in build_hparams_summaries(select_hparams(cfg, result, swept), list(rank_metrics(result.metrics))):
            writer.file_writer.add_summary(summary)


def test_the_hparams_of_a_sweep_are_its_swept_keys_and_cv_auroc_is_the_first_metric(tmp_path: Path):
    for number, (size, rate) in enumerate([("3", "1e-3"), ("5", "3e-4")]):
        cfg = load_config(TrainConfig, [f"model.kernel_size={size}", f"optimizer.lr={rate}"])
        swept = {"model.kernel_size": size, "optimizer.lr": rate}
        write_hparams(tmp_path / str(number), cfg, job_result(cfg), swept)
    experiment = read_hparams(tmp_path)
    assert [info.name for info in experiment.hparam_infos] == ["model.kernel_size", "optimizer.lr"]
    assert all(info.differs for info in experiment.hparam_infos)  # these are ticked at first
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics[:2] == ["cv/auroc", "cv/brier"]
    assert [name.partition("/")[0] for name in metrics] == ["cv"] * 6 + ["test"] * 6


def test_the_hparams_of_a_single_run_are_its_differences_from_the_defaults():
    cfg = load_config(TrainConfig)
    assert select_hparams(cfg, job_result(cfg), {}) == {"model.name": "sacnn", "optimizer.lr": 0.001}
    cfg = load_config(TrainConfig, ["model=ridge2", "model.C=2", "seed=3"])
    assert select_hparams(cfg, job_result(cfg), {}) == {"model.name": "ridge2", "model.C": 2.0, "seed": 3}


def test_an_incomplete_run_shows_its_verdict_beside_its_scores():
    cfg = load_config(TrainConfig)
    result = job_result(cfg, "INCOMPLETE: debug=fast")
    assert select_hparams(cfg, result, {"seed": "1"}) == {"_verdict": "INCOMPLETE: debug=fast", "seed": 1.0}


def test_the_settings_that_are_shown_hold_no_path_and_no_name_of_a_machine_or_an_account(tmp_path: Path):
    (tmp_path / "scans.csv").touch()
    settings = [f"data.root={tmp_path}", f"output_dir={tmp_path}/run", "where=slurm", "where.account=meier"]
    cfg = load_config(TrainConfig, settings)
    shown = str(list_public_settings(cfg)) + str(get_hparams(cfg))
    assert str(tmp_path) not in shown
    assert "meier" not in shown
    assert list_public_settings(cfg)["model"]["name"] == "sacnn"
    swept = {"data.root": str(tmp_path), "seed": "1"}
    assert select_hparams(cfg, job_result(cfg), swept) == {"seed": 1.0}


needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow-skinny is not installed")


@needs_mlflow
@pytest.mark.slow
def test_mlflow_holds_a_resumed_run_once(workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setattr(job, "run_figures", lambda *_: {"loss": Figure()})
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
    assert run.data.tags["mlflow.user"] == run.data.tags["mlflow.source.name"] == "hemexp"
    assert not any(str(place) in str(run.data.tags) + str(run.data.params) for place in (tmp_path, workbooks))
    assert run.data.metrics["test/auroc"] == result.metrics["test/auroc"].value
    losses = store.get_metric_history(run.info.run_id, "train/loss")
    history = pd.read_csv("a/history.csv")
    assert [loss.step for loss in losses] == [0, 1, 2]
    np.testing.assert_allclose([loss.value for loss in losses], history["train/loss"])
    assert [file.path for file in store.list_artifacts(run.info.run_id, "figures")] == ["figures/loss.png"]
    assert json.loads(Path("a/mlflow.json").read_text())["run_id"] == run.info.run_id


@pytest.mark.slow
@needs_mlflow
@pytest.mark.parametrize("uri", ["taken/store", "http://127.0.0.1:9", "ftp://nowhere"])
def test_a_tracking_server_that_fails_costs_a_warning_and_no_other_logger(
    uri: str, workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    uri = (tmp_path / uri).as_uri() if uri.startswith("taken") else uri
    loggers = ["logger=[csv,mlflow]", f"logger.tracking_uri={uri}"]
    train(load_config(TrainConfig, [f"data.root={workbooks}", *loggers, *FAST]), tmp_path / "run")
    assert caplog.text.count("logger=mlflow failed") == caplog.text.count("failed and gets no more scores") == 1
    table = pd.read_csv(tmp_path / "run" / "csv" / "metrics.csv")
    assert len(curve(table, "train/loss")) == 3
    assert len(curve(table, "test/auroc")) == 1
    assert (tmp_path / "run" / "DONE").is_file()


class FailingLogger(EpochCSVLogger):
    """A logger of which one call fails, and is never called again."""

    failing, num_failures, seconds = "", 0, 0.0

    def fail_in(self, name: str) -> None:
        if name == self.failing:
            FailingLogger.num_failures += 1
            time.sleep(self.seconds)
            raise OSError(5, "Input/output error")

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.fail_in("log_metrics")
        super().log_metrics(metrics, step)

    def log_hyperparams(self, params: dict[str, Any] | None = None) -> None:
        self.fail_in("log_hyperparams")
        super().log_hyperparams(params)

    def save(self) -> None:
        self.fail_in("save")
        super().save()

    def finalize(self, status: str) -> None:
        self.fail_in("finalize")
        super().finalize(status)


@pytest.mark.parametrize("failing", ["log_metrics", "log_hyperparams", "save", "finalize", "hanging"])
def test_a_logger_that_fails_at_any_call_costs_a_warning(
    failing: str, workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("hemexp.training.loggers.EpochCSVLogger", FailingLogger)
    monkeypatch.setattr(FailingLogger, "num_failures", 0)
    monkeypatch.setattr(FailingLogger, "failing", "save" if failing == "hanging" else failing)
    if failing == "hanging":
        monkeypatch.setattr("hemexp.training.optional_logger._MAX_SECONDS", 0.2)
        monkeypatch.setattr(FailingLogger, "seconds", 1.0)
    train(load_config(TrainConfig, [f"data.root={workbooks}", "logger=csv", *FAST]), tmp_path / "run")
    assert (tmp_path / "run" / "DONE").is_file()
    assert caplog.text.count("logger=csv failed") == FailingLogger.num_failures == 1
