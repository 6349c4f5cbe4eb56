"""Train one group of members with one Lightning Trainer, resumed from its checkpoint if there is one."""

import ctypes
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ctypes import c_bool
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler, PyTorchProfiler, SimpleProfiler

from hemexp.config import TrainerConfig
from hemexp.errors import Interrupted, UserError
from hemexp.training.checkpoint import State, WholeFileCheckpoints, load_state
from hemexp.training.member import FitResult, Member
from hemexp.training.recorder import ProgressCallback, Recorder
from hemexp.training.task import ExpansionTask, GroupBatches

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h

# https://github.com/Lightning-AI/pytorch-lightning/issues/21326: lightning 2.6 with torch 2.13, harmless
warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", module="lightning")
# on a cluster's login node; a run needs no srun
warnings.filterwarnings("ignore", message="The `srun` command is available", module="lightning")
for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
    logging.getLogger(name).handlers.clear()  # its handlers would print every line a second time
    logging.getLogger(name).setLevel(logging.WARNING)


def fit_group(
    members: Sequence[Member],
    cfg: TrainerConfig,
    *,
    checkpoint: Path | None = None,
    loggers: Sequence[Logger] = (),
    history: Path | None = None,
    report: ProgressCallback = lambda epochs, skipped, loss: None,
    stop: c_bool | None = None,
) -> list[FitResult]:
    """Train members of one shape together on one device, in this process.

    Args:
        members: with the same `hemexp.training.fit.get_shape`.
        cfg: epochs, when to stop, device, batch size.
        checkpoint: file of the training state; if it exists, training continues from it.
        loggers: for the scores of a single member, epoch by epoch.
        history: CSV file of the scores of a single member, written with the state; ``profile/`` is placed beside it.
        report: called after every chunk.
        stop: stops the training after the current chunk when true.

    Raises:
        Interrupted: `stop` was set; the checkpoint holds the state.
        UserError: the checkpoint belongs to other members.
    """
    with torch_settings(cfg):
        task = ExpansionTask(members, cfg)
        recorder = Recorder(task, checkpoint, history, report, c_bool(False) if stop is None else stop)
        profile_dir = history.parent / "profile" if history else None
        try:
            _train(recorder, list(loggers) if len(members) == 1 else [], profile_dir)
            return recorder.results()
        finally:
            task.release()


@contextmanager
def torch_settings(cfg: TrainerConfig) -> Iterator[None]:
    """Set the threads, the precision and the memory of PyTorch for a training, and restore them."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    matmul = torch.get_float32_matmul_precision()
    memory: Any = torch.utils.deterministic
    fills_memory = memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False  # filling takes a fifth of an epoch; all memory is written later
    torch.set_num_threads(cfg.num_threads)
    torch.set_float32_matmul_precision(cfg.matmul)
    _keep_freed_memory()
    torch.set_flush_denormal(True)  # Adam's averages of inactive units become denormal: slow on some processors
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # PyTorch's default; the earlier setting cannot be read
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(matmul)
        torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = fills_memory


def _keep_freed_memory() -> None:
    """Let the C library keep the memory of one epoch for the next: new pages cost up to 4 % of an epoch."""
    with suppress(AttributeError, OSError, TypeError):  # only glibc has this function
        libc = ctypes.CDLL(None)
        for name, size in ((_M_MMAP_THRESHOLD, 2**26), (_M_TRIM_THRESHOLD, 2**28)):
            libc.mallopt(name, size)


def _train(recorder: Recorder, loggers: list[Logger], profile_dir: Path | None) -> None:
    """Train until all members have ended, from the recorder's checkpoint if it exists."""
    task = recorder.task
    saved = load_state(recorder.checkpoint) if recorder.checkpoint else None
    checkpoint = recorder.checkpoint if saved else None
    if saved and checkpoint:
        _restore(recorder, saved, checkpoint)
    if len(recorder.ended) == len(task.members):
        return
    trainer = Trainer(
        **get_trainer_arguments(task.cfg, loggers, profile_dir),
        max_epochs=-1,  # the recorder stops the training: an epoch of the Trainer is a chunk of epochs here
        callbacks=[recorder],
        enable_checkpointing=False,
        default_root_dir=recorder.checkpoint.parent if recorder.checkpoint else None,
    )
    batches = GroupBatches(task)
    try:
        trainer.fit(task, batches, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's reaction to a second Ctrl-C
        raise Interrupted("stopped at once, without saving the last epochs") from None
    finally:
        trainer.optimizers, batches.batch = [], {}  # see `ExpansionTask.release`
        trainer.fit_loop.epoch_loop._results.batch = None  # kept after an error
    if len(recorder.ended) < len(task.members):
        raise Interrupted(f"interrupted after epoch {task.epoch}")


def get_trainer_arguments(cfg: TrainerConfig, loggers: Sequence[Logger], profile_dir: Path | None) -> dict[str, Any]:
    """Return the arguments that the Trainers of both engines have in common."""
    return {
        "accelerator": cfg.accelerator,
        "devices": cfg.devices,
        "deterministic": "warn",
        "logger": list(loggers),
        "log_every_n_steps": 1,
        # one process: Lightning would treat a Slurm task as part of a distributed run, and requeue it
        "plugins": [LightningEnvironment(), WholeFileCheckpoints()],
        "profiler": build_profiler(cfg.profiler, profile_dir),
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def _restore(recorder: Recorder, saved: State, checkpoint: Path) -> None:
    """Set the recorder's state, and report the epochs that are already trained."""
    state = saved["callbacks"][recorder.state_key]
    if state["key"] != recorder.key:
        raise UserError(f"{checkpoint}: is of other members or settings; choose another directory")
    recorder.load_state_dict(state)
    for ended in recorder.ended.values():
        recorder.report(ended["epochs"], recorder.task.cfg.max_epochs - ended["epochs"], float("nan"))


def build_profiler(name: str | None, directory: Path | None) -> Profiler | None:
    """Return the profiler of ``trainer.profiler``; None without a name or a directory."""
    if name is None or directory is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    if name == "simple":
        return SimpleProfiler(dirpath=directory, filename="simple")
    # only a few early steps: a trace of all steps would fill the disk
    schedule = torch.profiler.schedule(wait=1, warmup=1, active=3, repeat=1)
    return PyTorchProfiler(dirpath=directory, filename="pytorch", schedule=schedule, row_limit=100)
