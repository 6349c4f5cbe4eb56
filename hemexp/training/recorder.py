"""Lightning callback that records the scores of a group, saves its state, and stops its training."""

import time
from collections.abc import Callable
from ctypes import c_bool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from hemexp.files.writing import write_csv
from hemexp.training.checkpoint import State, members_key
from hemexp.training.member import FitResult
from hemexp.training.progress import InterruptHandler
from hemexp.training.task import Curves, ExpansionTask
from hemexp.types import Array

# epochs trained since the last call; epochs that are not needed because members stopped early; loss, NaN if unknown
ProgressCallback = Callable[[int, int, float], None]
_SAVE_SHARE = 20  # times as long as the last save took, until a group's state is saved again


class Recorder(Callback):
    """Record each chunk's scores, remove members that are done, save the state regularly, and stop the training.

    Args:
        task: the networks of the group.
        checkpoint: the file of the state; None to save nothing.
        history: CSV file of the scores of a single member; None to write none.
        report: called after every chunk.
        stop: stops the training after the current chunk when true.
    """

    def __init__(
        self, task: ExpansionTask, checkpoint: Path | None, history: Path | None, report: ProgressCallback, stop: c_bool
    ) -> None:
        self.task, self.checkpoint, self.report, self.stop = task, checkpoint, report, stop
        self.key = members_key(task.members, task.cfg)
        self._history_file = history
        self.chunks: list[tuple[list[int], Curves]] = []  # indices of the members, and their scores (epochs, M)
        self.ended: dict[int, State] = {}  # the results of members that are done, without their weights
        self.weights: dict[int, list[Tensor]] = {}  # best and last weights of members that left the group
        self._saved_epoch, self._next_save = 0, 0.0

    def state_dict(self) -> State:
        """Return the state that a resumed run needs in addition to Lightning's."""
        return {name: getattr(self, name) for name in ("key", "chunks", "ended", "weights")}

    def load_state_dict(self, state_dict: State) -> None:
        """Set the state of an earlier process."""
        self.chunks, self.ended = list(state_dict["chunks"]), dict(state_dict["ended"])
        self.weights = dict(state_dict["weights"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epochs of an earlier process, and replace the signal handlers that Lightning has just set.

        Lightning restores the earlier ones at the end, also after an error.
        """
        InterruptHandler(self.stop).install()
        self._saved_epoch = self.task.epoch
        self.report(self.task.epoch * len(set(self.task.member_indices) - set(self.ended)), 0, float("nan"))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the chunk's scores, log those of a single member, and record the members that ended."""
        task, curves = self.task, outputs
        first = task.epoch - len(curves["train/loss"])
        self.chunks.append((task.member_indices, curves))
        if trainer.loggers:  # only a single member is logged
            rows = zip(*(curve[:, 0].tolist() for curve in curves.values()), strict=True)
            for epoch, scores in zip(range(first, int(task.num_epochs[0])), rows, strict=False):
                for logger in trainer.loggers:
                    log_epoch(logger, dict(zip(curves, scores, strict=True)), epoch)
        trained = skipped = 0
        states = (state.tolist() for state in (task.running, task.num_epochs, task.best_epoch, task.best_loss))
        for row, (running, epochs, best_epoch, best_loss) in enumerate(zip(*states, strict=True)):
            member = task.member_indices[row]
            if member in self.ended:
                continue
            trained += epochs - first
            if not running:
                skipped += task.cfg.max_epochs - epochs
                last_loss = float(curves["train/loss"][epochs - 1 - first, row])
                self.ended[member] = {
                    "epochs": epochs,
                    "best_epoch": best_epoch,
                    "best_loss": best_loss,
                    "stopped_by": self._stopped_by(epochs, last_loss),
                }
        self.report(trained, skipped, float(curves["train/loss"][-1].nanmean()))

    def _stopped_by(self, epochs: int, last_loss: float) -> str:
        if not last_loss < float("inf"):
            return "diverged"
        cfg = self.task.cfg
        if cfg.stop_loss is not None and last_loss < cfg.stop_loss:
            return "stop_loss"
        return "max_epochs" if epochs == cfg.max_epochs else "patience"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shrink the group when half of it is done; save the state or stop the training when it is time."""
        task = self.task
        running = task.running.tolist()
        rows = [row for row, runs in enumerate(running) if runs]
        fewest = 1 if task.cfg.num_threads == 1 else 2  # with several threads, BLAS sums a single member differently
        if not rows or (task.may_shrink and 2 * len(rows) <= len(running) and len(rows) >= fewest):
            self._keep_weights([row for row, runs in enumerate(running) if not runs])
            if rows:
                task.shrink(rows)
        trainer.should_stop = not rows or self.stop.value
        if self.checkpoint and (trainer.should_stop or self._is_time_to_save()):
            started = time.monotonic()
            trainer.save_checkpoint(self.checkpoint, weights_only=False)
            self._saved_epoch, self._next_save = task.epoch, time.monotonic()
            if len(task.members) > 1:  # the state of a large group takes long
                self._next_save += _SAVE_SHARE * (self._next_save - started)
            if self._history_file is not None and len(task.members) == 1:
                write_csv(self.history(0), self._history_file)

    def _is_time_to_save(self) -> bool:
        every = self.task.cfg.checkpoint_every
        return self.task.epoch - self._saved_epoch >= every and time.monotonic() >= self._next_save

    def _keep_weights(self, rows: list[int]) -> None:
        """Copy the weights of members that leave the group."""
        task = self.task
        best, last = (weights[rows].cpu() for weights in (task.best_weights, task.net.weights.detach()))
        for row, weights in zip(rows, zip(best, last, strict=True), strict=True):
            member = task.member_indices[row]
            self.weights[member] = list(weights[: 1 + task.members[member].keep_last])

    def results(self) -> list[FitResult]:
        """Return the results of all members, in order."""
        together = self._concatenate()
        return [
            FitResult(
                self.task.network_content(member, self.weights[member][0]),
                history=self.history(member, together).iloc[: ended["epochs"]],
                last=self.task.network_content(member, self.weights[member][-1]) if keep_last else None,
                **ended,
            )
            for member, ended in sorted(self.ended.items())
            for keep_last in [self.task.members[member].keep_last]
        ]

    def history(self, member: int, together: tuple[dict[str, Array], Array] | None = None) -> pd.DataFrame:
        """Return a member's scores so far, one row an epoch; `together` is what `_concatenate` returned."""
        all_curves, num_epochs = together or self._concatenate()
        epochs = num_epochs[member]
        curves = {name: curve[:epochs, member] for name, curve in all_curves.items()}
        if self.task.members[member].scheduler.name == "none":  # others of the group may have a schedule
            curves.pop("lr", None)
        return pd.DataFrame({"epoch": range(epochs), **curves})

    def _concatenate(self) -> tuple[dict[str, Array], Array]:
        """Return the scores of all members, (E, M), NaN after a member has left; and the number of epochs, (M,)."""
        count, start = len(self.task.members), 0
        total = sum(len(curves["train/loss"]) for _, curves in self.chunks)
        together = {name: np.full((total, count), np.nan) for name in self.chunks[0][1]}
        num_epochs = np.zeros(count, dtype=int)
        for members, curves in self.chunks:
            end = start + len(curves["train/loss"])
            for name, curve in curves.items():
                together[name][start:end, members] = curve.numpy()
            num_epochs[members], start = end, end
        return together, num_epochs


def log_epoch(logger: Logger, scores: dict[str, float], epoch: int) -> None:
    """Log the scores of an epoch. TensorBoard gets one event with all scores, which takes a sixth of the time."""
    if isinstance(logger, TensorBoardLogger):
        values = [Summary.Value(tag=name, simple_value=score) for name, score in scores.items()]
        logger.experiment.file_writer.add_summary(Summary(value=values), epoch)
    else:
        logger.log_metrics(scores, step=epoch)
