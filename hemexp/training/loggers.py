"""Set up TensorBoard and the optional CSV or MLflow logger."""

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pandas as pd
from filelock import FileLock
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger
from tensorboard.summary.writer import event_file_writer

from hemexp.config import TrainConfig, config_hash
from hemexp.files.writing import write_json
from hemexp.training.optional_logger import OptionalLogger

_BATCH_SIZE = 1000  # metrics, the most that MLflow accepts in one call
_LOCAL_STORE = Path("outputs", "mlruns")
_MLFLOW_SETTINGS = {  # environment variables, where they are not set
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # plain files need neither server nor database; MLflow asks to confirm this
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


@contextmanager
def open_loggers(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> Iterator[list[Logger]]:
    """Open the loggers of a run, TensorBoard first; after an error they are closed as failed.

    The others are optional: a failure of one costs a warning.

    Args:
        cfg: of the run.
        directory: of the run.
        resumed_at: number of epochs trained by an earlier process; None in a new run.
    """
    loggers: list[Logger] = [
        _TensorBoard(directory, name="", version="tensorboard", default_hp_metric=False, purge_step=resumed_at)
    ]
    openers = {"csv": _open_csv, "mlflow": _open_mlflow}
    if opener := openers.get(cfg.logger.name):
        loggers.append(OptionalLogger(cfg.logger.name, lambda: opener(cfg, directory, resumed_at)))
    try:
        # the names of TensorBoard's files would hold the name of this machine
        with patch.object(event_file_writer, "socket", SimpleNamespace(gethostname=lambda: "hemexp")):
            yield loggers
    except BaseException:
        for logger in loggers:
            with suppress(Exception):  # the first error is the reason
                logger.finalize("failed")
        raise


class _TensorBoard(TensorBoardLogger):
    """TensorBoard's logger in the directory as it is called: Lightning replaces ``$NAME`` and ``~`` in it."""

    @property
    def log_dir(self) -> str:
        return str(Path(self.root_dir, str(self.version)))


def _open_csv(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> Logger:
    """Return a logger to a new ``csv/metrics.csv``: earlier epochs are logged again."""
    shutil.rmtree(directory / "csv", ignore_errors=True)
    logger = CSVLogger(directory, name="", version="csv")
    _log_earlier_epochs(logger, directory, resumed_at)
    return logger


def _log_earlier_epochs(logger: Logger, directory: Path, resumed_at: int | None) -> None:
    """Log the epochs of an earlier process."""
    history = directory / "history.csv"
    if resumed_at and history.is_file():
        rows = pd.read_csv(history).set_index("epoch").iloc[:resumed_at].to_dict("index")
        for epoch, scores in rows.items():
            logger.log_metrics({str(name): float(score) for name, score in scores.items()}, step=int(str(epoch)))
        logger.save()


class BatchedMLFlowLogger(MLFlowLogger):
    """Send the epochs of a chunk in one call; Lightning's logger makes one call for each epoch."""

    _waiting: list[Any]

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect scores until `save`."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        scores = [Metric(name, float(score), now, step or 0) for name, score in metrics.items()]
        self._waiting = [*getattr(self, "_waiting", []), *scores]

    def save(self) -> None:
        """Send the collected scores; Lightning calls this after every chunk."""
        waiting, self._waiting = getattr(self, "_waiting", []), []
        for start in range(0, len(waiting), _BATCH_SIZE):
            self.experiment.log_batch(self.run_id, metrics=waiting[start : start + _BATCH_SIZE])

    def finalize(self, status: str = "success") -> None:
        """Send the collected scores and the final status."""
        self.save()
        super().finalize(status)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the MLflow run."""
        for name, value in tags.items():
            self.experiment.set_tag(self.run_id, name, value)


def _open_mlflow(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> BatchedMLFlowLogger:
    """Return a logger to the MLflow run of this directory, which is created if it does not exist."""
    uri = cfg.logger.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _LOCAL_STORE.resolve().as_uri()
    for name, value in _MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns about every attempt to reach the server
    from mlflow.tracking import MlflowClient

    _LOCAL_STORE.parent.mkdir(parents=True, exist_ok=True)
    record = directory / "mlflow.json"
    with FileLock(_LOCAL_STORE.parent / ".mlflow.lock"):  # jobs of a sweep start at the same time
        client = MlflowClient(uri)
        if client.get_experiment_by_name(cfg.logger.experiment_name) is None:
            client.create_experiment(cfg.logger.experiment_name)
    earlier = _read_record(record) if resumed_at is not None else {}
    run_id = earlier.get("run_id") if earlier.get("tracking_uri") == uri else None
    hidden = {"mlflow.user": "hemexp", "mlflow.source.name": "hemexp"}  # else the user's name and the program's path
    tags = {"config_hash": config_hash(cfg), "tags": ", ".join(cfg.tags), **hidden}
    path = directory.resolve()
    name = f"{path.parent.name}/{path.name}" if path.name.isdecimal() else path.name  # sweep/job
    logger = BatchedMLFlowLogger(cfg.logger.experiment_name, name, uri, tags, run_id=run_id)
    write_json(record, {"tracking_uri": uri, "run_id": logger.run_id})
    if run_id is None:
        _log_earlier_epochs(logger, directory, resumed_at)
    return logger


def _read_record(path: Path) -> dict[str, str]:
    """Return the content of mlflow.json; empty where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
