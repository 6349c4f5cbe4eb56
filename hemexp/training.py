"""The loop: one task through one Trainer, with everything that makes it stop, resume and show itself."""

import logging
import signal
import threading
import warnings
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hemexp.config import TrainerConfig
from hemexp.datamodule import ExpansionDataModule
from hemexp.errors import Interrupted, UserError
from hemexp.files import write_csv
from hemexp.run_directory import RunDirectory
from hemexp.task import ExpansionTask

# https://github.com/Lightning-AI/pytorch-lightning/issues/21326: lightning 2.6 with torch 2.13, harmless
warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", module="lightning")

for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
    logging.getLogger(name).handlers.clear()  # its own handlers would print every line twice, once there is a log
    logging.getLogger(name).setLevel(logging.WARNING)

State = dict[str, Any]


@dataclass(frozen=True)
class FitResult:
    """How training went: epochs trained, the epoch and loss of the best weights, why it stopped, all curves."""

    epochs: int
    best_epoch: int
    best_loss: float
    stopped_by: str
    history: pd.DataFrame


def fit(
    task: ExpansionTask,
    data: ExpansionDataModule,
    cfg: TrainerConfig,
    run: RunDirectory,
    loggers: list[Logger],
    resume: bool,
) -> FitResult:
    """Train until the loss or the epochs are reached; the task ends with its best weights, on the CPU.

    Best is the lowest training loss, or with a validation part the lowest loss there; the test part is not looked at.

    Args:
        task: with fresh weights.
        data: set up.
        cfg: epochs, device, batch size.
        run: where ``checkpoints/`` and ``history.csv`` go.
        loggers: get every epoch's scores.
        resume: continue from the run's last checkpoint.

    Raises:
        Interrupted: a signal came; the last checkpoint holds the state.
        UserError: the loss is no longer a number.
    """
    torch.set_num_threads(cfg.num_threads)
    recorder = Recorder(cfg, run, monitor="val/loss" if len(data.val_dataloader()) else "train/loss")
    if resume:
        recorder.load_state_dict(_load_last(run)["callbacks"][recorder.state_key])
    if recorder.stopped_by is None:
        trainer = Trainer(
            accelerator=cfg.accelerator,
            devices=cfg.devices,
            max_epochs=cfg.max_epochs,
            deterministic="warn",
            logger=loggers,
            callbacks=[recorder, StopOnSignal(recorder), *([EpochBar()] if cfg.progress_bar else [])],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if recorder.monitor == "val/loss" else 0,
            log_every_n_steps=1,
            default_root_dir=run.path,
        )
        try:
            trainer.fit(task, datamodule=data, ckpt_path=run.last if resume else None, weights_only=True)
        except SystemExit:  # Lightning's answer to a second Ctrl-C
            raise Interrupted("stopped at once, without saving the last epochs") from None
        if recorder.stopped_by is None:
            raise Interrupted(f"interrupted after epoch {len(recorder.history)}")
    _write_best(run, recorder.best_weights)
    task.cpu()
    task.load_state_dict(recorder.best_weights)
    best = recorder.best
    history = pd.DataFrame(recorder.history)
    return FitResult(len(history), best["epoch"], best["loss"], recorder.stopped_by or "", history)


def _write_best(run: RunDirectory, weights: dict[str, torch.Tensor]) -> None:
    """Write best.ckpt: the last checkpoint with the best weights, without the state that only a resumed run needs."""
    last = _load_last(run)
    content = {key: last[key] for key in last if key not in {"callbacks", "optimizer_states", "lr_schedulers", "loops"}}
    partial = run.best.with_suffix(".partial")
    torch.save({**content, "state_dict": weights}, partial)
    partial.replace(run.best)


def epochs_saved(run: RunDirectory) -> int:
    """Return how many epochs the run's last checkpoint has behind it."""
    return int(_load_last(run)["epoch"]) + 1


def _load_last(run: RunDirectory) -> dict[str, Any]:
    try:
        return dict(torch.load(run.last, weights_only=True))
    except Exception as error:  # whatever torch makes of a damaged file
        raise UserError(f"{run.last}: cannot be read ({error}); choose a new output_dir") from None


class Recorder(Callback):
    """Keeps every epoch's scores and the best weights, stops at the loss wanted, and saves the state now and then."""

    def __init__(self, cfg: TrainerConfig, run: RunDirectory, monitor: str) -> None:
        self.cfg, self.run, self.monitor = cfg, run, monitor
        self.history: list[dict[str, float]] = []
        self.best: State = {"epoch": -1, "loss": float("inf")}
        self.best_weights: dict[str, torch.Tensor] = {}
        self.stopped_by: str | None = None
        self.interrupted = False
        self._before: dict[str, torch.Tensor] = {}

    def state_dict(self) -> State:
        """Return what a resumed run needs beside Lightning's own state."""
        kept = ("history", "best", "best_weights", "stopped_by")
        return {name: getattr(self, name) for name in kept}

    def load_state_dict(self, state_dict: State) -> None:
        """Take over the state of an earlier process."""
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember the weights that a full batch's loss belongs to: those before the step."""
        if trainer.num_training_batches == 1 and self.monitor == "train/loss":
            self._before = _copy(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch, and save or stop where it is time."""
        epoch = trainer.current_epoch
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.history.append({"epoch": epoch, **scores})
        for logger in trainer.loggers:
            logger.log_metrics(scores, step=epoch)
        loss = scores[self.monitor]
        if scores["train/loss"] != scores["train/loss"]:
            lr = pl_module.hparams["optimizer"]["lr"]
            raise UserError(
                f"optimizer.lr={lr}: the training loss is no number from epoch {epoch} on; choose a lower rate"
            )
        if loss < self.best["loss"]:
            self.best = {"epoch": epoch, "loss": loss}
            self.best_weights = self._before or _copy(pl_module)
        if self.cfg.stop_loss is not None and scores["train/loss"] < self.cfg.stop_loss:
            self.stopped_by = "stop_loss"
        elif epoch + 1 == self.cfg.max_epochs:
            self.stopped_by = "max_epochs"
        if self.stopped_by or self.interrupted:
            trainer.should_stop = True
        if trainer.should_stop or (epoch + 1) % self.cfg.checkpoint_every == 0:
            trainer.save_checkpoint(self.run.last, weights_only=False)
            write_csv(pd.DataFrame(self.history), self.run.path / "history.csv")


def _copy(module: LightningModule) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


class StopOnSignal(Callback):
    """Ctrl-C and SIGTERM end training after the epoch; a second Ctrl-C ends it at once."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals, where this thread may."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.recorder.interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back after a failure too."""
        self.on_train_end(trainer, pl_module)


class EpochBar(Callback):
    """One bar for the whole training: epochs, loss, time left. Drawn ten times a second at most."""

    def __init__(self) -> None:
        columns = (
            TextColumn("[bold]training {task.fields[name]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs  loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar where training starts, which is not 0 after a resume."""
        name = pl_module.hparams["model"]["name"]
        done = trainer.current_epoch
        self.bar = self.progress.add_task("", total=trainer.max_epochs, completed=done, name=name, loss="-")
        self.progress.start()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move on."""
        loss = float(trainer.callback_metrics["train/loss"])
        self.progress.update(self.bar, completed=trainer.current_epoch + 1, loss=f"{loss:.4f}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the bar full: training may be over before the last epoch."""
        self.progress.update(self.bar, total=trainer.current_epoch)
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the bar as it was."""
        self.progress.stop()
