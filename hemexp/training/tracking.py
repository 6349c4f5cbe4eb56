"""Loggers to tracking servers: MLflow, Weights & Biases."""

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from hemexp.config import TrainConfig, config_hash
from hemexp.files.writing import write_json

_BATCH_SIZE = 1000  # metrics, the most that MLflow accepts in one call
_LOCAL_STORE = Path("outputs", "mlruns")
_MLFLOW_SETTINGS = {  # environment variables, where they are not set
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # plain files need neither server nor database; MLflow asks to confirm this
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
_WANDB_SETTINGS = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}  # no text, no question, no telemetry
log = logging.getLogger(__name__)


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

    def complete(self, texts: Mapping[str, str], figures: Iterable[Path]) -> None:
        """Log the texts of a result as tags, and its figures."""
        for name, value in texts.items():
            self.experiment.set_tag(self.run_id, name, value)
        self.finalize("success")
        for path in figures:
            self.experiment.log_artifact(self.run_id, str(path), "figures")


def open_mlflow(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> BatchedMLFlowLogger:
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
    logger = BatchedMLFlowLogger(cfg.logger.experiment_name, _get_run_name(directory), uri, tags, run_id=run_id)
    write_json(record, {"tracking_uri": uri, "run_id": logger.run_id})
    if run_id is None:
        log_earlier_epochs(logger, directory, resumed_at)
    return logger


class QuietWandbLogger(WandbLogger):
    """Log to a run of Weights & Biases, with the epoch as its step, and end the run and its process."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scores; those of a step that the run has already are dropped."""
        self.experiment.log(dict(metrics), step=step)

    def complete(self, texts: Mapping[str, str], figures: Iterable[Path]) -> None:
        """Log the texts of a result to the summary, and its figures."""
        import wandb

        self.experiment.log({f"visual/{path.stem}": wandb.Image(str(path)) for path in figures})
        self.experiment.summary.update(dict(texts))
        self._end(0)

    def finalize(self, status: str) -> None:
        """End a failed run; a successful one gets its result after the training."""
        if status != "success":
            self._end(1)

    def _end(self, exit_code: int) -> None:
        try:
            self.experiment.finish(exit_code)
        finally:
            _end_service()


def _end_service() -> None:
    """End the process that wandb has started, unless the program that calls this one has a run in it."""
    import wandb

    if wandb.run is None:
        wandb.teardown()


def open_wandb(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> QuietWandbLogger:
    """Return a logger to the Weights & Biases run of this directory, which is created if it does not exist.

    Without an API key or a server, the run is written to files, from which ``wandb sync`` sends it. The files hold the
    whole run: an earlier process's are removed, and its epochs are logged again.
    """
    for name, value in _WANDB_SETTINGS.items():
        os.environ.setdefault(name, value)
    import wandb

    record, files = directory / "wandb.json", directory / "wandb"
    earlier = _read_record(record) if resumed_at is not None else {}
    run_id = earlier.get("run_id") or secrets.token_hex(8)
    shutil.rmtree(files, ignore_errors=True)
    settings = wandb.Settings(
        silent=True,
        console="off",
        symlink=False,
        init_timeout=10,  # seconds
        finish_timeout=20,
        finish_timeout_raises=True,
        x_graphql_retry_max=3,
        # else the name of the machine and of the user, the program's path, its packages and git repository
        username="hemexp",
        email="hemexp",
        host="hemexp",
        program="hemexp",
        program_relpath="hemexp",
        disable_code=True,
        disable_git=True,
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    start = partial(
        wandb.init,
        project=cfg.logger.experiment_name,
        name=_get_run_name(directory),
        id=run_id,
        resume="allow",
        reinit="create_new",  # not the run of a program that calls this one
        dir=directory,
        tags=[tag[:64] for tag in cfg.tags],  # characters, the most that are accepted
        config={"config_hash": config_hash(cfg)},
        settings=settings,
    )
    try:
        run = start()
    except wandb.Error as error:  # no API key, or no answer
        reason = str(error).partition("\n")[0]
        _end_service()  # it still holds the id
        shutil.rmtree(files, ignore_errors=True)
        log.warning("logger=wandb: the run is only written to %s, from which wandb sync sends it (%s)", files, reason)
        run = start(mode="offline")
    write_json(record, {"run_id": run_id})
    logger = QuietWandbLogger(experiment=run)
    log_earlier_epochs(logger, directory, resumed_at)
    return logger


def log_earlier_epochs(
    logger: Logger, directory: Path, resumed_at: int | None, more: Mapping[int, Mapping[str, float]] | None = None
) -> None:
    """Log the epochs of an earlier process, with what else is known of an epoch."""
    history = directory / "history.csv"
    if resumed_at and history.is_file():
        rows = pd.read_csv(history).set_index("epoch").iloc[:resumed_at].to_dict("index")
        for epoch, scores in rows.items():
            number = int(str(epoch))
            known = scores | dict(more[number] if more and number in more else {})
            logger.log_metrics({str(name): float(score) for name, score in known.items()}, step=number)
        logger.save()


def _get_run_name(directory: Path) -> str:
    """Return the name of the directory, in a sweep with the name of the sweep's directory."""
    path = directory.resolve()
    return f"{path.parent.name}/{path.name}" if path.name.isdecimal() else path.name


def _read_record(path: Path) -> dict[str, str]:
    """Return the content of a record of a run at a server; empty where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
