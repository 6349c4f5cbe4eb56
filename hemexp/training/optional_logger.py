"""A logger beside TensorBoard, whose failures cost a warning and never the run."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger

T = TypeVar("T")


def _pass_on(method: str) -> Any:
    """Return a method that calls the method of this name of the logger."""
    return lambda self, *args, **kwargs: self.use(lambda logger: getattr(logger, method)(*args, **kwargs))


_MAX_SECONDS = 30.0  # for one call; a tracking server may never answer
log = logging.getLogger(__name__)


class OptionalLogger(Logger):
    """Pass every call on to a logger, until the first one fails or takes too long; then warn and drop the rest.

    Args:
        title: of the logger, in the warning.
        build: returns the logger.
    """

    def __init__(self, title: str, build: Callable[[], Logger]) -> None:
        super().__init__()
        self.title, self._failed = title, False
        self.logger = self._call(build)

    version = None  # Lightning does not need it
    name = property(lambda self: self.title)
    log_hyperparams, save, finalize = map(_pass_on, ("log_hyperparams", "save", "finalize"))

    @property
    def experiment(self) -> Any:
        """What the logger writes to, for callbacks; it takes every call after the logger has failed."""
        is_working = self.logger is not None and not self._failed
        return getattr(self.logger, "experiment", None) if is_working else DummyLogger().experiment

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scores by epoch. Lightning gives what a callback logs with the number of steps, and with the epoch."""
        scores = dict(metrics)
        epoch = scores.pop("epoch", step)
        self.use(lambda logger: logger.log_metrics(scores, None if epoch is None else int(epoch)))

    def complete(self, texts: Mapping[str, str], figures: Iterable[Path]) -> None:
        """Log the texts and figures of a result, where the logger takes them, and the end of a finished run."""
        if hasattr(self.logger, "complete"):
            self.use(lambda logger: logger.complete(texts, list(figures)))
        else:
            self.finalize("success")

    def use(self, function: Callable[[Any], object]) -> None:
        """Call a function with the logger, if it has not failed."""
        if self.logger is not None and not self._failed:
            self._call(lambda: function(self.logger))

    def _call(self, function: Callable[[], T]) -> T | None:
        """Call a function in a thread that is left alone when it does not end in time."""
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:  # also SystemExit of a library
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True, name=self.title)
        thread.start()
        thread.join(_MAX_SECONDS)
        if results:
            return results[0]
        self._failed = True
        reason = f"no answer within {_MAX_SECONDS:.0f} s"
        if errors:
            reason = f"{type(errors[0]).__name__}: {errors[0]}".partition("\n")[0]
        log.warning("logger=%s failed and gets no more scores (%s); the run goes on", self.title, reason)
        return None
