"""The ordinary engine: one network of any kind, trained by Lightning's Trainer as its users know it."""

import logging
import math
import random
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import c_bool
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from traceback import walk_tb
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.loops.optimization.closure import AbstractClosure
from torch import Tensor, nn

from hemexp.config import (
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
    describe_setting,
    list_settings,
)
from hemexp.config.trainer_arguments import build_callbacks
from hemexp.data.datamodule import PatientLoaders, find_smallest_batch
from hemexp.errors import Interrupted, UserError
from hemexp.files.writing import write_csv
from hemexp.models.external import errors_of
from hemexp.models.first_weights import read_first_weights
from hemexp.models.network import FittedNetwork
from hemexp.training.checkpoint import ENGINE, State, load_state, members_key
from hemexp.training.loop import get_trainer_arguments, torch_settings
from hemexp.training.loss import auroc, build_loss, get_class_weights
from hemexp.training.member import FitResult, Member
from hemexp.training.optimizer import build_optimizer
from hemexp.training.progress import InterruptHandler
from hemexp.training.recorder import ProgressCallback, log_epoch
from hemexp.training.schedule import build_scheduler

log = logging.getLogger(__name__)
_REPORT_SECONDS = 0.5  # between two reports of progress
_MEASURED = 4  # epochs, to estimate the time of all
_SAME = 1e-4  # difference of a logit, computed alone or together with other patients
_STATES = {"optimizer_states": "optimizer: state", "lr_schedulers": "scheduler: state"}  # in a checkpoint


class NetworkTask(LightningModule):
    """One network with its input layer, its loss and its optimizer.

    Args:
        member: its model may be any network.
        cfg: precision, and the number of epochs for a scheduler.

    Shape:
        Input of `forward`: (B, F) raw, NaN marks a gap. Output: (B, 2) logits.
    """

    def __init__(self, member: Member, cfg: TrainerConfig) -> None:
        super().__init__()
        self.member, self.max_epochs = member, cfg.max_epochs
        self.callbacks = build_callbacks(member.callbacks)
        self.class_weights = get_class_weights(torch.as_tensor(member.training_set.labels))
        self.dtype_ = torch.float64 if cfg.precision == 64 else torch.float32
        training_set = member.training_set
        _seed(member.seed)
        self.network = FittedNetwork(list_settings(member.model), training_set.features, training_set.label)
        self.network.to(self.dtype_).inputs.set(training_set.preprocessing)
        smallest = find_smallest_batch(len(training_set.labels), cfg.batch_size)
        self._check_network(torch.as_tensor(training_set.inputs[:4], dtype=self.dtype_), smallest)
        if begun := read_first_weights(member.model):
            state, _, _ = begun.take_over(self.network.net, training_set.features, self.dtype_)
            self.network.net.load_state_dict(state)
        self.loss = build_loss(member.loss)
        if isinstance(self.loss, nn.Module):
            self.loss.to(self.dtype_)
        self.monitor = "val/loss" if len(training_set.val_labels) else "train/loss"
        self._is_first_call = True  # of the closure of an optimizer that calls it several times in a step
        self._batches: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {"train": [], "val": []}

    def _check_network(self, inputs: Tensor, smallest: int) -> None:
        """Refuse a network of wrong shapes, or whose result for a patient depends on chance or on others.

        It is also tried in training, on as few patients as the smallest mini-batch has.
        """
        source = _get_source(self.member.model)
        with torch.no_grad(), errors_of(source):
            self.network.eval()
            together, again = self.network(inputs), self.network(inputs)
            alone = torch.cat([self.network(row[None]) for row in inputs])
            self.network.train()
        if not bool(together.isfinite().all()):
            raise UserError(f"{source}: returns NaN or infinity before it is trained")
        if not torch.allclose(together, again, rtol=_SAME, atol=_SAME):
            rule = "in eval() it draws no random numbers and keeps no state; use nn.Dropout instead of F.dropout"
            raise UserError(f"{source}: gives other results for the same patients in a second call; rule: {rule}")
        if not torch.allclose(together, alone, rtol=_SAME, atol=_SAME):
            raise UserError(f"{source}: the result for a patient depends on the other patients in the batch")
        if not any(each.requires_grad for each in self.network.net.parameters()):
            raise UserError(f"{source}: has no weights to train; rule: at least one parameter that requires a gradient")
        for key, value in self.network.state_dict().items():
            if not isinstance(value, Tensor) or (key.startswith("net.") and not bool(value.isfinite().all())):
                rule = "a checkpoint holds finite numbers; register a constant with persistent=False"
                rule = "use a buffer in place of get_extra_state" if key.endswith("_extra_state") else rule
                raise UserError(f"{source}: {key}: is not a tensor of finite numbers; rule: {rule}")
        with torch.no_grad(), errors_of(source):
            copy = FittedNetwork.from_content(self.network.content())
            rebuilt = copy(inputs)
        if not torch.allclose(together, rebuilt, rtol=_SAME, atol=_SAME):
            rule = "every tensor and layer must be a parameter, a buffer or a module of the network (nn.ModuleList)"
            raise UserError(f"{source}: its checkpoint does not hold all weights; rule: {rule}")
        with errors_of(source):
            copy.train()(inputs)
        try:
            copy(inputs[:smallest])
        except Exception as error:
            count = f"{smallest} patient" if smallest == 1 else f"{smallest} patients"
            rule = "rule: batch norm needs at least 2; give trainer.batch_size=2 or more, or null for the full batch"
            raise UserError(f"{source}: fails in training on a mini-batch of {count} ({error}); {rule}") from error

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(inputs)
        return logits

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and its scheduler if there is one."""
        with errors_of(_get_source(self.member.optimizer)):
            optimizer = build_optimizer(self.member.optimizer, list(self.parameters()))
        with errors_of(_get_source(self.member.scheduler)):
            scheduler = build_scheduler(self.member.scheduler, optimizer, self.max_epochs)
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": self.monitor}}

    def on_train_batch_start(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Let the next loss be recorded: the loss of the weights before the step, for every kind of optimizer."""
        self._is_first_call = True

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean loss of a batch."""
        loss = self._step("train", batch, is_recorded=self._is_first_call)
        self._is_first_call = False
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Record the loss of a batch of the validation patients."""
        self._step("val", batch)

    def on_validation_epoch_start(self) -> None:
        """Forget the batches of an earlier validation in the same epoch."""
        self._batches["val"] = []

    def _step(self, part: str, batch: tuple[Tensor, Tensor], is_recorded: bool = True) -> Tensor:
        inputs, labels = batch
        logits = self(inputs)
        with errors_of(_get_source(self.member.loss)):
            loss: Tensor = self.loss(logits, labels, self.class_weights.to(logits))
        if is_recorded:
            margins = (logits[:, 1] - logits[:, 0]).detach()
            hits = ((margins > 0) == labels.bool()).to(loss.dtype).mean()
            shown = {f"{part}/loss": loss.detach(), f"{part}/accuracy": hits}
            self.log_dict(shown, on_step=False, on_epoch=True, logger=False, batch_size=len(labels))
            self._batches[part].append((loss.detach(), margins, labels))
        return loss

    def compute_scores(self) -> dict[str, float]:
        """Return the scores of the epoch, in 64 bits; validation scores only where there was a validation."""
        scores = {}
        for part, batches in self._batches.items():
            if batches:
                losses, margins, labels = zip(*batches, strict=True)
                sizes = torch.tensor([len(each) for each in labels], dtype=torch.float64)
                values, margin, label = torch.stack(losses).double().cpu(), torch.cat(margins), torch.cat(labels)
                scores[f"{part}/loss"] = float((values * sizes).sum() / sizes.sum())
                scores[f"{part}/accuracy"] = float(((margin > 0) == label.bool()).double().mean())
                if part == "val":
                    real = torch.ones_like(label, dtype=torch.bool)
                    scores["val/auroc"] = float(auroc(margin[None, None], label[None], real[None]))
        self._batches = {"train": [], "val": []}
        return scores

    def on_save_checkpoint(self, checkpoint: State) -> None:
        """Add the network, which can predict, as in the state of a group.

        Raises:
            UserError: a resumed training could not read what a callback, the optimizer or the schedule adds.
        """
        checkpoint |= {"engine": ENGINE, "num_epochs": self.current_epoch + 1, "networks": [self.network.content()]}
        if _can_be_read(checkpoint):
            return
        names = {callback.state_key: f"callbacks.{name}: state" for name, callback in self.callbacks.items()}
        states = {names.get(key, key): state for key, state in checkpoint["callbacks"].items()}
        states |= {_STATES.get(key, f"on_save_checkpoint of a callback: checkpoint[{key!r}]"): state
                   for key, state in checkpoint.items() if key != "callbacks"}  # fmt: skip
        raise UserError(
            f"{_find_object(states)}, which a checkpoint cannot hold; rule: numbers, texts, tensors, and lists and "
            "dictionaries of them; give a tensor for an array (torch.from_numpy)"
        )


def _get_source(section: ModelConfig | OptimizerConfig | SchedulerConfig | LossConfig) -> str:
    return describe_setting(section.PREFIX, vars(section))


def _seed(seed: int) -> None:
    """Seed all generators that a network of the user may draw from, NumPy's global one included."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])  # noqa: NPY002 - the user's code may draw from it


@contextmanager
def _keep_random_states() -> Iterator[None]:
    """Restore the random generators of Python, NumPy and PyTorch at the end."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - as in `_seed`
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - as in `_seed`


def check_network(member: Member, cfg: TrainerConfig) -> None:
    """Build a network and try it on four of its patients, before any result is written; warn about probabilities.

    Raises:
        UserError: it cannot be built or trained.
    """
    with _keep_random_states():
        net, width = NetworkTask(member, cfg).network.net.eval(), len(member.training_set.features)
    wide = 3 * torch.randn(64, width, generator=torch.Generator().manual_seed(0))
    source = _get_source(member.model)
    with torch.no_grad(), errors_of(source):
        logits = net(wide.to(next(net.parameters(), wide).dtype)).float()
    if float(logits.std()) > 0 and float(logits.min()) >= 0 and float(logits.max()) <= 1:
        log.warning(
            "warning: %s: seems to return probabilities (64 made-up patients have values from 0 to 1); rule: logits; "
            "leave out the sigmoid or the softmax at its end", source
        )  # fmt: skip


def _can_be_read(value: Any) -> bool:
    """Return whether a checkpoint with this value can be loaded, as a resumed training does."""
    try:
        torch.save(value, file := BytesIO())
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # of pickle and PyTorch: several types
        return False
    return True


def _find_object(value: Any, place: str = "") -> str:
    """Return place and type of the first part of a value that cannot be read."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in parts:
        if not _can_be_read(part):
            return _find_object(part, f"{place}.{key}" if place else str(key))
    return f"{place} is {type(value).__module__}.{type(value).__qualname__}"


class EpochRecorder(Checkpoint):
    """Record the scores of each epoch, keep the best weights, save the state regularly, and stop the training.

    As a `Checkpoint` it is called after all other callbacks, so that it saves their states at the end of the epoch.

    Args:
        task: of the member.
        cfg: when to stop.
        checkpoint: the file of the state; None to save nothing.
        history: CSV file of the scores; None to write none.
        report: called about twice a second.
        stop: stops the training after the current epoch when true.
    """

    def __init__(
        self,
        task: NetworkTask,
        cfg: TrainerConfig,
        checkpoint: Path | None,
        history: Path | None,
        report: ProgressCallback,
        stop: c_bool,
    ) -> None:
        self.task, self.cfg, self.checkpoint, self.report, self.stop = task, cfg, checkpoint, report, stop
        self.key = members_key([task.member], cfg)
        self.rows: list[dict[str, float]] = []
        self.best: State = {"epoch": -1, "loss": math.inf, "weights": {}}
        self.stopped_by = ""
        self._history_file, self._interrupts = history, InterruptHandler(stop)
        self._before: dict[str, Tensor] = {}
        self._saved_epoch = self._reported = 0
        self._next_report = self._rate = 0.0

    def state_dict(self) -> State:
        """Return the state that a resumed run needs in addition to Lightning's."""
        return {name: getattr(self, name) for name in ("key", "rows", "best", "stopped_by")}

    def load_state_dict(self, state_dict: State) -> None:
        """Set the state of an earlier process."""
        self.rows, self.best = list(state_dict["rows"]), dict(state_dict["best"])
        self.stopped_by = state_dict["stopped_by"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the signal handlers that Lightning has just set."""
        self._interrupts.install()
        self._saved_epoch = len(self.rows)
        self._seed(trainer.current_epoch)
        self._report(math.nan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the signal handlers."""
        self._interrupts.restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the signal handlers after a failure."""
        self._interrupts.restore()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the rate, and the weights where the loss of the epoch belongs to them."""
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]
        if self.task.monitor == "train/loss" and trainer.num_training_batches == 1:
            self._before = self._copy_weights()  # the loss of a full batch is of the weights before its step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch, log its scores, and save the state or stop the training when it is time."""
        epoch, scores = trainer.current_epoch, self.task.compute_scores()
        if self.task.member.scheduler.name != "none":
            scores = {"lr": self._rate, **scores}
        self.rows.append(scores)
        loss = scores.get(self.task.monitor, math.nan)
        scores.setdefault("train/loss", math.nan)
        if loss < self.best["loss"]:
            self.best = {"epoch": epoch, "loss": loss, "weights": self._before or self._copy_weights()}
        for logger in trainer.loggers:
            log_epoch(logger, scores, epoch)
        if epoch + 1 >= (trainer.min_epochs or 1):
            self.stopped_by = self._get_reason(epoch, scores["train/loss"])
        ends = bool(self.stopped_by or self.stop.value)
        if ends:
            trainer.should_stop, trainer.fit_loop.min_epochs = True, None
        if ends or time.monotonic() > self._next_report:
            self._report(scores["train/loss"])
        is_due = not epoch or epoch + 1 - self._saved_epoch >= self.cfg.checkpoint_every  # a fault shows at once
        if self.checkpoint and (ends or is_due):
            self._saved_epoch = epoch + 1
            trainer.save_checkpoint(self.checkpoint, weights_only=False)
            if self._history_file is not None:
                write_csv(self.history(), self._history_file)
        self._seed(epoch + 1)

    def _seed(self, epoch: int) -> None:
        """Seed an epoch by its number: a resumed training draws the same dropout."""
        _seed((self.task.member.seed << 32) + epoch)

    def _get_reason(self, epoch: int, loss: float) -> str:
        """Return why the training ends after this epoch; empty if it does not."""
        cfg = self.cfg
        if not math.isfinite(loss):
            return "diverged"
        if cfg.stop_loss is not None and loss < cfg.stop_loss:
            return "stop_loss"
        is_monitored = self.task.monitor in self.rows[-1]
        if cfg.patience is not None and is_monitored and epoch - self.best["epoch"] >= cfg.patience:
            return "patience"
        return "max_epochs" if epoch + 1 == cfg.max_epochs else ""

    def _report(self, loss: float) -> None:
        skipped = self.cfg.max_epochs - len(self.rows) if self.stopped_by else 0
        self.report(len(self.rows) - self._reported, skipped, loss)
        self._reported, self._next_report = len(self.rows), time.monotonic() + _REPORT_SECONDS

    def _copy_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.task.network.state_dict().items()}

    def history(self) -> pd.DataFrame:
        """Return the scores so far, one row an epoch."""
        return pd.DataFrame({"epoch": range(len(self.rows)), **pd.DataFrame(self.rows)})

    def result(self) -> FitResult:
        """Return the result of the member."""
        content, last = self.task.network.content(), self._copy_weights()
        return FitResult(
            {**content, "state_dict": self.best["weights"] or last},
            epochs=len(self.rows),
            best_epoch=self.best["epoch"],
            best_loss=self.best["loss"],
            stopped_by=self.stopped_by or "callback",
            history=self.history(),
            last={**content, "state_dict": last} if self.task.member.keep_last else None,
        )


def fit_network(
    members: Sequence[Member],
    cfg: TrainerConfig,
    *,
    checkpoint: Path | None = None,
    loggers: Sequence[Logger] = (),
    history: Path | None = None,
    report: ProgressCallback = lambda epochs, skipped, loss: None,
    stop: c_bool | None = None,
) -> list[FitResult]:
    """Train one network with an ordinary Trainer; the arguments are those of `hemexp.training.loop.fit_group`.

    Raises:
        Interrupted: `stop` was set; the checkpoint holds the state.
        UserError: the checkpoint belongs to another member, or the network's own code fails.
    """
    (member,) = members
    with torch_settings(cfg), _keep_random_states():
        task = NetworkTask(member, cfg)
        recorder = EpochRecorder(task, cfg, checkpoint, history, report, c_bool(False) if stop is None else stop)
        saved = load_state(checkpoint) if checkpoint else None
        if saved:
            state = saved["callbacks"].get(recorder.state_key)
            if state is None or state["key"] != recorder.key:
                raise UserError(f"{checkpoint}: is of another member or settings; choose another directory")
            recorder.load_state_dict(state)
            task.load_state_dict(saved["state_dict"])
        if not recorder.stopped_by:
            arguments = get_trainer_arguments(cfg, loggers, history.parent / "profile" if history else None)
            arguments |= {
                "max_epochs": cfg.max_epochs,
                "precision": "64-true" if cfg.precision == 64 else "32-true",
                "callbacks": [*task.callbacks.values(), recorder],
                "enable_checkpointing": True,
                "num_sanity_val_steps": 0,
                "gradient_clip_val": cfg.gradient_clip_val,
                "default_root_dir": checkpoint.parent if checkpoint else None,
            }
            if task.callbacks and not loggers:  # some need a logger, also in the fits of a cross-validation
                arguments["logger"] = [DummyLogger()]
            _run(Trainer(**arguments | cfg.lightning), task, cfg, checkpoint if saved else None)
            if recorder.stop.value and not recorder.stopped_by:
                raise Interrupted(f"interrupted after epoch {len(recorder.rows)}")
        if recorder.best["epoch"] < 0 and recorder.stopped_by != "diverged":
            raise UserError(f"{task.monitor}: no epoch had one; see trainer.lightning and callbacks")
        return [recorder.result()]


def estimate_seconds(member: Member, cfg: TrainerConfig) -> float:
    """Return the seconds of a training, at most, from a training of a few epochs."""
    short = replace(cfg, max_epochs=_MEASURED + 1, stop_loss=None, patience=None, profiler=None, lightning={})
    times, started = [0.0], time.perf_counter()
    alone = replace(member, callbacks={})  # which may write files
    fit_network([alone], short, report=lambda epochs, skipped, loss: times.append(time.perf_counter() - started))
    epoch = (times[-1] - times[1]) / _MEASURED
    return times[1] + epoch * cfg.max_epochs


def _run(trainer: Trainer, task: NetworkTask, cfg: TrainerConfig, checkpoint: Path | None) -> None:
    """Train until the end, or until a callback stops the training."""
    loaders = PatientLoaders(task.member.training_set, cfg.batch_size, task.dtype_, task.member.seed)
    try:
        with warnings.catch_warnings(), _errors_of_parts(task):
            # a process for loading costs more than it saves with patients in memory
            warnings.filterwarnings("ignore", message=".*does not have many workers", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message=".*but have no `val_dataloader`", category=PossibleUserWarning)
            warnings.filterwarnings(
                "ignore", message=".*scheduler is using 'interval': 'epoch'", category=RuntimeWarning
            )
            val = loaders.val_dataloader() if task.monitor == "val/loss" else None
            trainer.fit(task, loaders.train_dataloader(), val, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's reaction to a second Ctrl-C
        raise Interrupted("stopped at once, without saving the last epochs") from None


@contextmanager
def _errors_of_parts(task: NetworkTask) -> Iterator[None]:
    """Name the callback, the optimizer or the schedule in whose code an error is raised; else the model."""
    try:
        yield
    except (Exception, SystemExit) as error:
        member, model = task.member, f"{_get_source(task.member.model)} engine=lightning"
        source = model
        for frame, _ in walk_tb(error.__traceback__):  # the innermost frame that belongs to a part
            owner = frame.f_locals.get("self")
            if isinstance(owner, AbstractClosure):  # of the network, called by the optimizer
                source = model
            elif isinstance(owner, torch.optim.Optimizer):
                source = _get_source(member.optimizer)
            elif isinstance(owner, torch.optim.lr_scheduler.LRScheduler):
                source = _get_source(member.scheduler)
            source = next((f"callbacks.{name}" for name, each in task.callbacks.items() if each is owner), source)
        with errors_of(source):
            raise
