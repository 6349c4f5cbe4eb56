"""Who is told of a run: TensorBoard always, and beside it whom ``logger=`` names."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger

from hemexp.config import TrainConfig, config_hash
from hemexp.errors import UserError
from hemexp.files.writing import write_json

_AT_ONCE = 1000  # metrics, the most that MLflow takes in one call
_LOCAL_STORE = Path("outputs", "mlruns")


@contextmanager
def open_loggers(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> Iterator[list[Logger]]:
    """Open the loggers of a run, TensorBoard's first; whatever ends the run within is told to each.

    Args:
        cfg: of the run.
        directory: the run's.
        resumed_at: so many epochs were trained by an earlier process; None in a new run.

    Raises:
        UserError: the place that the config names cannot be written.
    """
    loggers: list[Logger] = [
        TensorBoardLogger(directory, name="", version="tensorboard", default_hp_metric=False, purge_step=resumed_at)
    ]
    if cfg.logger.name == "csv":
        loggers.append(_csv(directory, resumed_at))
    if cfg.logger.name == "mlflow":
        loggers.append(_mlflow(cfg, directory, resumed_at))
    try:
        yield loggers
    except BaseException:
        for logger in loggers:
            logger.finalize("failed")
        raise


def _csv(directory: Path, resumed_at: int | None) -> CSVLogger:
    """Return a logger into ``csv/``; Lightning's begins a new file, so a resumed run's epochs are told again."""
    shutil.rmtree(directory / "csv", ignore_errors=True)
    logger = CSVLogger(directory, name="", version="csv")
    _tell_again(logger, directory, resumed_at)
    return logger


def _tell_again(logger: Logger, directory: Path, resumed_at: int | None) -> None:
    """Tell a logger of the epochs of an earlier process."""
    history = directory / "history.csv"
    if resumed_at and history.is_file():
        rows = pd.read_csv(history).set_index("epoch").iloc[:resumed_at].to_dict("index")
        for epoch, scores in rows.items():
            logger.log_metrics({str(name): float(score) for name, score in scores.items()}, step=int(str(epoch)))
        logger.save()


class BatchedMLFlowLogger(MLFlowLogger):
    """Sends the epochs of a chunk in one call, where Lightning's makes a call an epoch."""

    _waiting: list[Any]

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep scores until `save`."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._waiting = [
            *getattr(self, "_waiting", []),
            *(Metric(name, float(score), now, step or 0) for name, score in metrics.items()),
        ]

    def save(self) -> None:
        """Send what waits; Lightning calls it after every chunk."""
        waiting, self._waiting = getattr(self, "_waiting", []), []
        for start in range(0, len(waiting), _AT_ONCE):
            self.experiment.log_batch(self.run_id, metrics=waiting[start : start + _AT_ONCE])

    def finalize(self, status: str = "success") -> None:
        """Send what waits, and say how the run ended."""
        self.save()
        super().finalize(status)


def _mlflow(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> BatchedMLFlowLogger:
    """Return a logger to the run that MLflow already has of this directory, or to a new one."""
    given = cfg.logger.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    uri = given or _LOCAL_STORE.resolve().as_uri()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # files need no server and no database, and MLflow wants to be told that this is meant
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    _LOCAL_STORE.parent.mkdir(parents=True, exist_ok=True)
    kept = directory / "mlflow.json"
    try:
        with FileLock(_LOCAL_STORE.parent / ".mlflow.lock"):  # jobs of a sweep begin at once
            client = MlflowClient(uri)
            if client.get_experiment_by_name(cfg.logger.experiment_name) is None:
                client.create_experiment(cfg.logger.experiment_name)
        earlier = json.loads(kept.read_text()) if resumed_at is not None and kept.is_file() else {}
        known = earlier.get("run_id") if earlier.get("tracking_uri") == uri else None
        tags = {"config_hash": config_hash(cfg), "tags": ", ".join(cfg.tags), "folder": str(directory.resolve())}
        place = directory.resolve()
        name = f"{place.parent.name}/{place.name}" if place.name.isdecimal() else place.name  # a sweep's job
        logger = BatchedMLFlowLogger(cfg.logger.experiment_name, name, uri, tags, run_id=known)
        write_json(kept, {"tracking_uri": uri, "run_id": logger.run_id})
        if known is None:
            _tell_again(logger, directory, resumed_at)
    except (MlflowException, OSError) as error:
        why = str(error).splitlines()[0]
        raise UserError(f"logger.tracking_uri={given}: MLflow cannot write there: {why}") from None
    return logger
