"""What batched training is measured against, and how: rivals in turn, several rounds, the median of each.

Every rival trains the same network on the same patients, full batch, and keeps every epoch's loss.
"""

import contextlib
import io
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC

from hemexp.config import TrainConfig, TrainerConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.models.registry import build_network
from hemexp.training.member import Member
from hemexp.training.patient_batch import build_input_layer
from hemexp.training.task import ExpansionTask, GroupBatches

warnings.filterwarnings("ignore")
for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)

Run = Callable[[], object]


def data_override() -> list[str]:
    """Return the override that names the cohort: HEMEXP_COHORT where that is set, else a synthetic one."""
    root = os.environ.get("HEMEXP_COHORT")
    return [f"data.root={root}"] if root else []


def config(overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the main job's configuration, with changes."""
    return load_config(TrainConfig, [*data_override(), *overrides])


def cohort() -> ExpansionDataModule:
    """Return the main job's patients."""
    cfg = config()
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return data


def member(seed: int = 0, overrides: Sequence[str] = ()) -> Member:
    """Return the paper's network, or one with other settings, and its 60 training patients."""
    cfg = config(overrides)
    return Member(cfg.model, cfg.optimizer, cohort().training_set, seed)


def trainer(epochs: int, **changes: object) -> TrainerConfig:
    """Return the settings of a training of exactly so many epochs."""
    return replace(TrainerConfig(max_epochs=epochs, stop_loss=None, progress_bar=False), **changes)


def tensors(one: Member) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a member's scaled inputs (N, F) and labels (N,)."""
    raw = torch.tensor(one.training_set.inputs, dtype=torch.float32)
    return build_input_layer(one.training_set, torch.float32)(raw), torch.tensor(one.training_set.labels)


def readable(one: Member) -> nn.Module:
    """Return the network as an nn.Module, with PyTorch's scaled_dot_product_attention."""
    torch.manual_seed(one.seed)
    return build_network(len(one.training_set.features), **vars(one.model))


def raw_loop(one: Member, epochs: int) -> list[float]:
    """Train the readable network in a plain PyTorch loop."""
    torch.set_num_threads(1)
    (x, y), net = tensors(one), readable(one)
    optimizer = torch.optim.Adam(net.parameters(), lr=one.optimizer.lr)
    losses = []
    for _ in range(epochs):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def same_step_loop(members: list[Member], epochs: int, device: str = "cpu") -> torch.Tensor:
    """Take the engine's own forward pass, loss and Adam in a bare loop: no Lightning, no best weights, no scores."""
    torch.set_num_threads(1)
    task = ExpansionTask(members, trainer(epochs)).to(device)
    (batch,) = GroupBatches(task)
    patients = batch["train"]
    inputs, labels, real, num_real = (part.to(device) for part in patients)
    optimizer = task.configure_optimizers()
    prepared = task.net.prepare(inputs)
    losses = []
    for _ in range(epochs):
        each = F.cross_entropy(task.net(prepared).flatten(0, 1), labels.flatten(), reduction="none")
        loss = (each.view_as(labels) * real).sum(1) / num_real
        task.net.weights.grad = None
        loss.sum().backward()
        task._step(optimizer)
        losses.append(loss.detach())
    return torch.stack(losses).cpu()


class PlainTask(LightningModule):
    """The task as Lightning's documentation would write it."""

    def __init__(self, one: Member, log: bool = True) -> None:
        super().__init__()
        self.net, self.lr, self.log_scores = readable(one), one.optimizer.lr, log
        self.scores = MetricCollection({"accuracy": BinaryAccuracy(), "auroc": BinaryAUROC()}, prefix="train/")
        self.losses: list[torch.Tensor] = []

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return the loss; log it and two scores."""
        x, y = batch
        logits = self.net(x)
        loss = F.cross_entropy(logits, y)
        if self.log_scores:
            self.scores.update(logits.softmax(1)[:, 1].detach(), y)
            self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True)
            self.log_dict(self.scores, on_step=False, on_epoch=True)
        else:
            self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def default_lightning(one: Member, epochs: int) -> None:
    """Train with Lightning's defaults: its DataLoader, logger, checkpoint an epoch and bar; no validation pass."""
    _lightning(one, epochs, log=True)


def tuned_lightning(one: Member, epochs: int) -> None:
    """Train with all of that switched off (barebones), the loss kept in a list."""
    _lightning(one, epochs, log=False, barebones=True)


def _lightning(one: Member, epochs: int, log: bool, **options: object) -> None:
    torch.set_num_threads(1)
    x, y = tensors(one)
    loader = DataLoader(TensorDataset(x, y), batch_size=len(y), shuffle=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        loop = Trainer(max_epochs=epochs, accelerator="cpu", devices=1, default_root_dir=folder, **options)
        loop.fit(PlainTask(one, log), loader)


def one_process(epochs: int, seed: int, overrides: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a process that trains one job with default Lightning."""
    command = [sys.executable, __file__, str(epochs), str(seed), *overrides]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interleave(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Time every run once a round, in turn; return the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine() -> str:
    """Return what the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, lightning {lightning.__version__}"
    return f"{os.cpu_count()} cores, {cpu}{gpu}; {versions}"


def table(header: list[str], rows: list[list[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n{machine()}\n")
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in row)} |")


if __name__ == "__main__":  # a job in a process of its own
    default_lightning(member(int(sys.argv[2]), sys.argv[3:]), int(sys.argv[1]))
