"""Set up TensorBoard and the loggers beside it: CSV files, MLflow, Weights & Biases."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pandas as pd
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.summary.writer import event_file_writer

from hemexp.config import TrainConfig
from hemexp.training.optional_logger import OptionalLogger
from hemexp.training.tracking import log_earlier_epochs, open_mlflow, open_wandb


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
    loggers += [OptionalLogger(name, partial(_OPENERS[name], cfg, directory, resumed_at)) for name in cfg.logger.names]
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


class EpochCSVLogger(CSVLogger):
    """Write one row an epoch, with the scores of the training and what callbacks log."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add scores to the row of their epoch."""
        rows = self.experiment.metrics
        scores: dict[str, Any] = {name: float(score) for name, score in metrics.items()}
        if rows and rows[-1]["step"] == step:
            rows[-1] |= scores
        else:
            super().log_metrics(scores, step)

    def save(self) -> None:
        """Write all rows but the last one, which may get more values."""
        last = self.experiment.metrics[-1:]
        del self.experiment.metrics[-1:]
        super().save()
        self.experiment.metrics = last

    def finalize(self, status: str) -> None:
        """Write all rows."""
        self.experiment.save()


def _open_csv(cfg: TrainConfig, directory: Path, resumed_at: int | None) -> Logger:
    """Return a logger to a new ``csv/metrics.csv``: earlier epochs are logged again, with what callbacks logged."""
    more: dict[int, dict[str, float]] = {}
    with suppress(OSError, ValueError, KeyError):  # no file, or not such a table
        rows = pd.read_csv(directory / "csv" / "metrics.csv").set_index("step")
        more = {int(str(step)): dict(row.dropna()) for step, row in rows.iterrows()}
    shutil.rmtree(directory / "csv", ignore_errors=True)
    logger = EpochCSVLogger(directory, name="", version="csv")
    log_earlier_epochs(logger, directory, resumed_at, more)
    return logger


_OPENERS: dict[str, Callable[[TrainConfig, Path, int | None], Logger]] = {  # by the names in `LoggerConfig`
    "csv": _open_csv,
    "mlflow": open_mlflow,
    "wandb": open_wandb,
}
