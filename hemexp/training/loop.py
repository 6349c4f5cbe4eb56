"""One group through one Trainer: the loop, with everything that makes it stop, resume and show itself."""

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from ctypes import c_bool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.profilers import Profiler, PyTorchProfiler, SimpleProfiler
from tensorboard.compat.proto.summary_pb2 import Summary

from hemexp.config import TrainerConfig, hashed_values
from hemexp.errors import Interrupted, UserError
from hemexp.files.writing import write_csv
from hemexp.models.predictor import Predictor, build_predictor
from hemexp.training.member import Member
from hemexp.training.progress import StopOnSignal
from hemexp.training.task import Curves, ExpansionTask, GroupBatches

# https://github.com/Lightning-AI/pytorch-lightning/issues/21326: lightning 2.6 with torch 2.13, harmless
warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", module="lightning")
# on a cluster's login node; a run needs no srun
warnings.filterwarnings("ignore", message="The `srun` command is available", module="lightning")
for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
    logging.getLogger(name).handlers.clear()  # its own handlers would print every line twice, once there is a log
    logging.getLogger(name).setLevel(logging.WARNING)
State = dict[str, Any]
SECONDS = "seconds"  # in last.ckpt of one that was trained among others: its share of their time
_UNLOGGED = "unlogged"  # in a checkpoint: no logger has been told of its epochs
Report = Callable[[int, int, float], None]  # epochs trained since the last report, epochs not needed, loss


class ForeignState(UserError):
    """A checkpoint is of other members, or of the same with other settings."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """How a member's training went.

    Attributes:
        content: what a checkpoint holds of the best weights; see `predictor`.
        epochs: trained.
        best_epoch: whose weights are the best; -1 where no epoch had a loss.
        best_loss: theirs; infinite where there is none.
        stopped_by: ``stop_loss``, ``patience``, ``max_epochs``, ``diverged`` (the loss was no number any more), or, for
            what is no network of ours, ``fitted``.
        history: a row an epoch: ``epoch``, ``train/loss``, ``train/accuracy`` and, with patients held out,
            ``val/loss``, ``val/accuracy``, ``val/auroc``.
    """

    content: dict[str, Any]
    epochs: int
    best_epoch: int
    best_loss: float
    stopped_by: str
    history: pd.DataFrame

    def predictor(self) -> Predictor:
        """Return what predicts with the best weights."""
        return build_predictor(self.content)


def fit_group(
    members: Sequence[Member],
    cfg: TrainerConfig,
    *,
    checkpoint: Path | None = None,
    loggers: Sequence[Logger] = (),
    history: Path | None = None,
    apart: Sequence[Path] = (),
    report: Report = lambda epochs, skipped, loss: None,
    stop: c_bool | None = None,
) -> list[FitResult]:
    """Train members of one shape together on one device, in this process.

    Args:
        members: see `hemexp.training.get_shape`.
        cfg: epochs, when to stop, device, batch size.
        checkpoint: where the state is saved; where it is there already, training goes on from it.
        loggers: get the scores of a member alone, epoch by epoch.
        history: a file that is given a lone member's scores whenever its state is saved; ``profile/`` is beside it.
        apart: where each member's state is left as if it had been trained alone; none, or one for each.
        report: is told of progress after every chunk.
        stop: ends training after the chunk once it is true.

    Raises:
        Interrupted: `stop` was set; the checkpoint holds the state.
        UserError: the checkpoint cannot be read, or is of other members.
    """
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fills = memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False  # it takes a fifth of an epoch, and all of it is written anyway
    torch.set_num_threads(cfg.num_threads)
    torch.set_flush_denormal(True)  # Adam's averages for dead units get there, where a processor is slow
    try:
        task = ExpansionTask(members, cfg)
        task.keeps_ends = bool(apart)
        flag = c_bool(False) if stop is None else stop
        recorder = Recorder(cfg, checkpoint, members_key(members, cfg), history, report, flag)
        _train(task, recorder, list(loggers) if len(members) == 1 else [])
        for number, path in enumerate(apart):
            save_state(recorder.alone(task, number), path)
        return recorder.results(task)
    finally:
        torch.set_flush_denormal(False)  # PyTorch's default; it does not tell what was
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = fills


def _train(task: ExpansionTask, recorder: "Recorder", loggers: list[Logger]) -> None:
    """Train until every member has ended, from the recorder's checkpoint where there is one."""
    cfg, checkpoint = task.cfg, recorder.checkpoint
    resume = checkpoint is not None and checkpoint.is_file()
    if checkpoint is not None and resume:
        saved = load_checkpoint(checkpoint)
        state = saved["callbacks"][recorder.state_key]
        if state["key"] != recorder.key:
            raise ForeignState(f"{checkpoint}: is of other members or settings; choose another place")
        recorder.load_state_dict(state)
        if loggers and saved.pop(_UNLOGGED, False):  # it was trained among others
            for epoch, scores in enumerate(recorder.history(0).drop(columns="epoch").to_dict("records")):
                for logger in loggers:
                    _log(logger, {str(name): score for name, score in scores.items()}, epoch)
            save_state(saved, checkpoint)
        for ended in recorder.ended.values():
            recorder.report(ended["epochs"], cfg.max_epochs - ended["epochs"], float("nan"))
    if len(recorder.ended) == len(task.members):
        return
    trainer = Trainer(
        accelerator=cfg.accelerator,
        devices=cfg.devices,
        max_epochs=-1,  # the recorder ends it: an epoch of the Trainer is a chunk of ours
        deterministic="warn",
        logger=loggers,
        log_every_n_steps=1,
        callbacks=[recorder],
        # one process: Lightning would take a Slurm task for a part of a distributed run, and requeue it
        plugins=[LightningEnvironment()],
        profiler=build_profiler(cfg.profiler, recorder.profile),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=checkpoint.parent if checkpoint else None,
    )
    try:
        trainer.fit(task, GroupBatches(task), ckpt_path=checkpoint if resume else None, weights_only=True)
    except SystemExit:  # Lightning's answer to a second Ctrl-C
        raise Interrupted("stopped at once, without saving the last epochs") from None
    if len(recorder.ended) < len(task.members):
        raise Interrupted(f"interrupted after epoch {task.epoch}")


def members_key(members: Sequence[Member], cfg: TrainerConfig) -> str:
    """Return a hash of all that shapes what the members become."""
    digest = hashlib.sha256(json.dumps(hashed_values(cfg), sort_keys=True).encode())
    for member in members:
        values, settings = (
            vars(member.training_set),
            (hashed_values(member.model), hashed_values(member.optimizer), member.seed),
        )
        values = {**values, **vars(member.training_set.preprocessing)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        digest.update(json.dumps([*settings, values["features"]], sort_keys=True).encode())
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def load_checkpoint(path: Path) -> State:
    """Return the content of a last.ckpt.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return dict(torch.load(path, weights_only=True, map_location="cpu"))
    except Exception as error:  # whatever torch makes of a damaged file
        raise UserError(f"{path}: cannot be read ({error}); choose a new directory") from None


def save_state(state: State, path: Path) -> None:
    """Write what `load_checkpoint` reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


class Recorder(Callback):
    """Keeps every chunk's curves, takes out the members that are done, saves the state now and then, and says stop."""

    def __init__(
        self,
        cfg: TrainerConfig,
        checkpoint: Path | None,
        key: str,
        history: Path | None,
        report: Report,
        stop: c_bool,
    ) -> None:
        self.cfg, self.checkpoint, self.key, self.report, self.stop = cfg, checkpoint, key, report, stop
        self._history = history
        self.profile = history.parent / "profile" if history else None
        self._signals = StopOnSignal(stop)
        self.chunks: list[tuple[list[int], Curves]] = []  # the members there, and their scores (epochs, M)
        self.ended: dict[int, State] = {}
        self._saved = 0

    def state_dict(self) -> State:
        """Return what a resumed run needs beside Lightning's own state."""
        return {name: getattr(self, name) for name in ("key", "chunks", "ended")}

    def load_state_dict(self, state_dict: State) -> None:
        """Take over the state of an earlier process."""
        self.chunks, self.ended = list(state_dict["chunks"]), dict(state_dict["ended"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from where an earlier process was, and take over the signals that Lightning has just taken."""
        self._signals.take()
        task = _task(pl_module)
        self._saved = task.epoch
        self.report(task.epoch * len(set(task.present) - set(self.ended)), 0, float("nan"))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._signals.give_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back after a failure too."""
        self._signals.give_back()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the chunk, and who ended in it."""
        task, curves = _task(pl_module), outputs
        first = task.epoch - len(curves["train/loss"])
        self.chunks.append((task.present, curves))
        if trainer.loggers:  # of a member alone
            rows = zip(*(curve[:, 0].tolist() for curve in curves.values()), strict=True)
            for epoch, scores in zip(range(first, int(task.num_epochs[0])), rows, strict=False):
                for logger in trainer.loggers:
                    _log(logger, dict(zip(curves, scores, strict=True)), epoch)
        facts = (task.running, task.num_epochs, task.best_epoch, task.best_loss)
        trained = skipped = 0
        for row, (runs, epochs, best_epoch, best_loss) in enumerate(
            zip(*(fact.tolist() for fact in facts), strict=True)
        ):
            if task.present[row] in self.ended:
                continue
            trained += epochs - first
            if not runs:
                skipped += self.cfg.max_epochs - epochs
                self.ended[task.present[row]] = {
                    "epochs": epochs,
                    "best_epoch": best_epoch,
                    "best_loss": best_loss,
                    "stopped_by": self._why(epochs, float(curves["train/loss"][epochs - 1 - first, row])),
                    "weights": task.best_weights[row].cpu().clone(),
                }
                if task.keeps_ends:
                    last = task.ends.pop(task.present[row], task.net.weights.detach()[row])
                    self.ended[task.present[row]]["last"] = last.cpu().clone()
        self.report(trained, skipped, float(curves["train/loss"][-1].nanmean()))

    def _why(self, epochs: int, loss: float) -> str:
        if not loss < float("inf"):
            return "diverged"
        if self.cfg.stop_loss is not None and loss < self.cfg.stop_loss:
            return "stop_loss"
        return "max_epochs" if epochs == self.cfg.max_epochs else "patience"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shrink the group once half of it is done, and save or stop where it is time."""
        task = _task(pl_module)
        left = [row for row, runs in enumerate(task.running.tolist()) if runs]
        fewest = 1 if self.cfg.num_threads == 1 else 2  # alone on several threads, BLAS sums in another order
        if 2 * len(left) <= len(task.present) and len(left) >= fewest:
            task.keep(left)
        trainer.should_stop = not left or self.stop.value
        if self.checkpoint and (trainer.should_stop or task.epoch - self._saved >= self.cfg.checkpoint_every):
            trainer.save_checkpoint(self.checkpoint, weights_only=False)
            self._saved = task.epoch
            if self._history is not None and len(task.members) == 1:
                write_csv(self.history(0), self._history)

    def results(self, task: ExpansionTask) -> list[FitResult]:
        """Return every member's result, in order."""
        names = ("epochs", "best_epoch", "best_loss", "stopped_by")
        return [
            FitResult(
                task.network(member, ended["weights"]),
                history=self.history(member).iloc[: ended["epochs"]],
                **{name: ended[name] for name in names},
            )
            for member, ended in sorted(self.ended.items())
        ]

    def alone(self, task: ExpansionTask, member: int) -> State:
        """Return the state that a member which has ended would have left, had it been trained alone."""
        ended = dict(self.ended[member])
        last = ended.pop("last")
        columns = [(curves, present.index(member)) for present, curves in self.chunks if member in present]
        left, chunks = ended["epochs"], []
        for curves, row in columns:
            chunks.append(([0], {name: curve[:left, [row]].clone() for name, curve in curves.items()}))
            left -= len(chunks[-1][1]["train/loss"])
            if left <= 0:
                break
        own = {"key": members_key([task.members[member]], self.cfg), "chunks": chunks, "ended": {0: ended}}
        return {
            "callbacks": {self.state_key: own},
            "networks": [task.network(member, last)],
            "present": [0],
            "num_epochs": ended["epochs"],
            _UNLOGGED: True,
        }

    def history(self, member: int) -> pd.DataFrame:
        """Return a member's scores so far, a row an epoch."""
        pieces = [
            pd.DataFrame({name: curve[:, present.index(member)].numpy() for name, curve in curves.items()})
            for present, curves in self.chunks
            if member in present
        ]
        history = pd.concat(pieces, ignore_index=True).astype("float64")
        history.insert(0, "epoch", range(len(history)))
        return history


def _log(logger: Logger, scores: dict[str, float], epoch: int) -> None:
    """Log an epoch; for TensorBoard as one event of all scores, six times as fast as one for each."""
    if isinstance(logger, TensorBoardLogger):
        values = [Summary.Value(tag=name, simple_value=score) for name, score in scores.items()]
        logger.experiment.file_writer.add_summary(Summary(value=values), epoch)
    else:
        logger.log_metrics(scores, step=epoch)


def _task(module: LightningModule) -> ExpansionTask:
    assert isinstance(module, ExpansionTask)
    return module


def build_profiler(name: str | None, directory: Path | None) -> Profiler | None:
    """Return the profiler that ``trainer.profiler`` names; None where there is no name, or no directory to write to."""
    if name is None or directory is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    if name == "simple":
        return SimpleProfiler(dirpath=directory, filename="simple")
    # a few of the early steps: a trace of all would fill the disk
    schedule = torch.profiler.schedule(wait=1, warmup=1, active=3, repeat=1)
    return PyTorchProfiler(dirpath=directory, filename="pytorch", schedule=schedule)
