"""The other training programs (rivals) that hemexp is compared with, and the timing.

Every rival trains the same network on the same patients, full batch, and records the loss of every epoch. The programs
run in turn for several rounds; each is reported by its median time.
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
    """Return the override for the cohort in HEMEXP_COHORT; without the variable the cohort is synthetic."""
    root = os.environ.get("HEMEXP_COHORT")
    return [f"data.root={root}"] if root else []


def main_config(overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the main job's configuration with overrides."""
    return load_config(TrainConfig, [*data_override(), *overrides])


def load_data() -> ExpansionDataModule:
    """Return the main job's data module, set up."""
    cfg = main_config()
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return data


def main_member(seed: int = 0, overrides: Sequence[str] = ()) -> Member:
    """Return the main job's network, or one with other settings, and its training patients."""
    cfg = main_config(overrides)
    return Member(cfg.model, cfg.optimizer, load_data().training_set, seed)


def trainer_config(epochs: int, **changes: object) -> TrainerConfig:
    """Return trainer settings for a fixed number of epochs."""
    return replace(TrainerConfig(max_epochs=epochs, stop_loss=None, progress_bar=False), **changes)


def scaled_tensors(member: Member) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a member's scaled inputs (N, F) and labels (N,)."""
    raw = torch.tensor(member.training_set.inputs, dtype=torch.float32)
    return build_input_layer(member.training_set, torch.float32)(raw), torch.tensor(member.training_set.labels)


def reference_network(member: Member) -> nn.Module:
    """Return the network as an nn.Module, with PyTorch's scaled_dot_product_attention."""
    torch.manual_seed(member.seed)
    return build_network(len(member.training_set.features), **vars(member.model))


def raw_loop(member: Member, epochs: int) -> list[float]:
    """Train the reference network in a plain PyTorch loop."""
    torch.set_num_threads(1)
    (x, y), net = scaled_tensors(member), reference_network(member)
    optimizer = torch.optim.Adam(net.parameters(), lr=member.optimizer.lr)
    losses = []
    for _ in range(epochs):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def same_step_loop(members: list[Member], epochs: int, device: str = "cpu") -> torch.Tensor:
    """Train by the same forward pass, loss and Adam as hemexp, in a loop without Lightning, best weights or scores."""
    torch.set_num_threads(1)
    task = ExpansionTask(members, trainer_config(epochs)).to(device)
    (batch,) = GroupBatches(task)
    inputs, labels, real, num_real = (part.to(device) for part in batch["train"])
    optimizer = task.configure_optimizers()
    prepared = task.net.prepare(inputs)
    losses = []
    for _ in range(epochs):
        patient_loss = F.cross_entropy(task.net(prepared).flatten(0, 1), labels.flatten(), reduction="none")
        loss = (patient_loss.view_as(labels) * real).sum(1) / num_real
        task.net.weights.grad = None
        loss.sum().backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).cpu()


class PlainTask(LightningModule):
    """The task, written as in Lightning's documentation."""

    def __init__(self, member: Member, log: bool = True) -> None:
        super().__init__()
        self.net, self.lr, self.log_scores = reference_network(member), member.optimizer.lr, log
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


def default_lightning(member: Member, epochs: int) -> None:
    """Train with the defaults of Lightning: logger, progress bar and a checkpoint an epoch; without validation."""
    _lightning(member, epochs, log=True)


def tuned_lightning(member: Member, epochs: int) -> None:
    """Train with Lightning's barebones option: no logger, progress bar or checkpoints; losses are kept in a list."""
    _lightning(member, epochs, log=False, barebones=True)


def _lightning(member: Member, epochs: int, log: bool, **options: object) -> None:
    torch.set_num_threads(1)
    x, y = scaled_tensors(member)
    loader = DataLoader(TensorDataset(x, y), batch_size=len(y), shuffle=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        loop = Trainer(max_epochs=epochs, accelerator="cpu", devices=1, default_root_dir=folder, **options)
        loop.fit(PlainTask(member, log), loader)


def start_process(epochs: int, seed: int, overrides: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a process that trains one job with the defaults of Lightning."""
    command = [sys.executable, __file__, str(epochs), str(seed), *overrides]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def time_in_turn(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Time every run once in each round and return its median seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if number:  # the first round is a warm-up
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def describe_machine() -> str:
    """Return the processor, the GPU and the versions that the figures were measured with."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, lightning {lightning.__version__}"
    return f"{os.cpu_count()} cores, {cpu}{gpu}; {versions}"


def table(header: list[str], rows: list[list[object]]) -> None:
    """Print a Markdown table below a description of the machine."""
    print(f"\n{describe_machine()}\n")
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in row)} |")


if __name__ == "__main__":  # a single job, started by start_process
    default_lightning(main_member(int(sys.argv[2]), sys.argv[3:]), int(sys.argv[1]))
