"""The LightningModule: the networks of one group, their loss, their optimizer and when they stop."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.config import NetConfig, SelfAttentionConfig, TrainerConfig
from hemexp.models.registry import build_network, reset_network
from hemexp.training.batched_network import BatchedNetwork, Weights
from hemexp.training.loss import auroc, cross_entropy
from hemexp.training.member import Member
from hemexp.training.patient_batch import ROW_MULTIPLE, PatientBatch, build_batch, build_input_layer

Curves = dict[str, Tensor]  # name of a score: (epochs, M)

_CHUNK_EPOCHS, _CHUNK_SECONDS = 50, 0.5  # longest chunk; progress is shown and a signal is noticed between chunks


class ExpansionTask(LightningModule):
    """M networks learn expansion together by cross entropy and Adam (paper, section 3.2). A single run has M = 1.

    A `training_step` is a chunk of epochs: as many as take half a second, and at most 50. Lightning's work for a
    step is then negligible. Results depend neither on the length of the chunks nor on the other members of the group.

    Args:
        members: of one shape, sorted so that equal optimizer settings are adjacent.
        cfg: when to stop, batch size, precision.
    """

    best_weights: Tensor  # (M, P)
    best_loss: Tensor  # (M,)
    best_epoch: Tensor  # (M,)
    num_epochs: Tensor  # (M,) epochs that the member trained
    running: Tensor  # (M,) whether the member still trains

    def __init__(self, members: Sequence[Member], cfg: TrainerConfig) -> None:
        super().__init__()
        self.automatic_optimization = False  # several optimizer steps in a training_step
        self.members, self.cfg = list(members), cfg
        self.member_indices = list(range(len(members)))  # of row m of every tensor; shorter once members are done
        self.epoch, self.chunk = 0, 1
        self.keep_final_weights = False  # whether `final_weights` is filled
        self.final_weights: dict[int, Tensor] = {}  # weights (P,) after the last epoch, of members done in this chunk
        model = members[0].model
        assert isinstance(model, NetConfig), model.name
        self.dropout = model.dropout
        collapse = isinstance(model, SelfAttentionConfig) and model.collapses
        dtype = torch.float64 if cfg.precision == 64 else torch.float32
        self.net = _build_batched(members, collapse).to(dtype)
        self.monitor = "val/loss" if len(members[0].training_set.val_labels) else "train/loss"
        count = len(members)
        self.register_buffer("best_weights", self.net.weights.detach().clone())
        self.register_buffer("best_loss", torch.full((count,), torch.inf, dtype=dtype))
        self.register_buffer("best_epoch", torch.full((count,), -1))
        self.register_buffer("num_epochs", torch.zeros(count, dtype=torch.long))
        self.register_buffer("running", torch.ones(count, dtype=torch.bool))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return one Adam. Members with equal settings form one parameter of it; `weight_decay` is an L2 penalty."""
        same_rates = groupby(self.members[i].rates for i in self.member_indices)
        rates, counts = zip(*((key, len(list(same))) for key, same in same_rates), strict=True)
        parts = torch.split(self.net.weights.data, list(counts))
        groups = [
            {"params": [nn.Parameter(weights)], "lr": lr, "weight_decay": weight_decay}
            for weights, (lr, weight_decay) in zip(parts, rates, strict=True)
        ]
        return torch.optim.Adam(groups, fused=True)

    def training_step(self, batch: dict[str, PatientBatch], batch_idx: int) -> Curves:
        """Train for a chunk of epochs; return the scores of every member in each epoch."""
        started = time.perf_counter()
        full_batch = (self.cfg.batch_size or self._sizes()[0]) >= self._sizes()[0]
        full = self.net.prepare(batch["train"].inputs) if full_batch else None
        val = self.net.prepare(batch["val"].inputs) if "val" in batch else None
        epochs = range(self.epoch, min(self.epoch + self.chunk, self.cfg.max_epochs))
        scores = []
        for epoch in epochs:
            scores.append(self._train_epoch(epoch, batch, full, val))
            if self.device.type == "cpu" and not self.running.any():  # on a GPU, this test would wait for the device
                break
        curves = {name: torch.stack([score[name] for score in scores]).cpu() for name in scores[0]}
        if "val" in batch:
            logits = curves.pop("val/logits")  # (epochs, M, V)
            val_batch = PatientBatch(*(part.cpu() for part in batch["val"]))
            curves["val/accuracy"] = val_batch.mean((logits > 0) == val_batch.labels.bool())
            curves["val/auroc"] = auroc(logits, val_batch.labels, val_batch.real)
        self.epoch += len(scores)
        seconds = (time.perf_counter() - started) / len(scores)
        self.chunk = max(1, min(_CHUNK_EPOCHS, int(_CHUNK_SECONDS / seconds)))
        return curves

    def _train_epoch(
        self, epoch: int, batch: dict[str, PatientBatch], full: Weights | None, val: Weights | None
    ) -> dict[str, Tensor]:
        """Take the steps of an epoch. Training scores are computed before a step, validation scores after the last."""
        scores: dict[str, Tensor] = {}
        updated = False
        for patients, inputs, share, noise in self._steps(epoch, batch["train"], full):
            logits = self.net(inputs, noise)  # (M, B, 2)
            loss = cross_entropy(logits, patients)  # (M,)
            self.net.weights.grad = None
            torch.autograd.backward(loss.sum())  # the sum, not the mean: the gradient of a member must not depend on M
            hits = (logits[:, :, 1] > logits[:, :, 0]) == patients.labels.bool()
            for name, score in (("train/loss", loss.detach()), ("train/accuracy", patients.mean(hits))):
                scores[name] = scores.get(name, 0) + share * score
            if share == 1 and self.monitor == "train/loss":
                self._update_best(epoch, scores["train/loss"])  # the loss of the weights before the step
                updated = True
            self._step(self.trainer.optimizers[0])
        if val is not None:
            with torch.no_grad():
                logits = self.net(val)
            scores["val/loss"] = cross_entropy(logits, batch["val"])
            scores["val/logits"] = logits[:, :, 1] - logits[:, :, 0]
        if not updated:
            self._update_best(epoch, scores[self.monitor])
        self._stop_members(epoch, scores["train/loss"])
        return scores

    def _steps(
        self, epoch: int, patients: PatientBatch, full: Weights | None
    ) -> Iterator[tuple[PatientBatch, Weights, float, Tensor | None]]:
        """Yield the patients of each step, their prepared inputs, their share of the epoch, and the dropout factors."""
        sizes = self._sizes()
        generators = self._generators(epoch)
        if full is not None:
            yield patients, full, 1.0, self._dropout(generators, sizes, patients.labels.shape[1])
            return
        orders = [np.random.default_rng([seed, epoch]).permutation(sizes[0]) for seed in self._seeds()]
        order = torch.from_numpy(np.stack(orders)).to(self.device)  # (M, N)
        for rows in torch.split(order, self.cfg.batch_size or sizes[0], dim=1):
            count = rows.shape[1]
            padded = F.pad(rows, (0, -count % ROW_MULTIPLE))  # (M, b)
            inputs = patients.inputs.gather(1, padded.unsqueeze(2).expand(-1, -1, patients.inputs.shape[2]))
            real = F.pad(torch.ones_like(rows, dtype=torch.bool), (0, -count % ROW_MULTIPLE))
            step = PatientBatch(inputs, patients.labels.gather(1, padded), real, real.sum(1))
            noise = self._dropout(generators, [count] * len(orders), padded.shape[1])
            yield step, self.net.prepare(inputs), count / sizes[0], noise

    def _sizes(self) -> list[int]:
        return [len(self.members[i].training_set.labels) for i in self.member_indices]

    def _seeds(self) -> list[int]:
        return [self.members[i].seed for i in self.member_indices]

    def _generators(self, epoch: int) -> list[torch.Generator]:
        """Return a generator for each member, seeded by member and epoch: a resumed run draws the same."""
        if self.dropout == 0:
            return []
        states = (np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] for seed in self._seeds())
        return [torch.Generator().manual_seed(int(state >> 1)) for state in states]

    def _dropout(self, generators: list[torch.Generator], sizes: list[int], length: int) -> Tensor | None:
        """Draw the dropout factors of the hidden layer (M, B, D), for each member from its generator."""
        if not generators:
            return None
        rate = self.dropout
        dtype, width = self.best_loss.dtype, self.net.hidden_dim
        factors = torch.zeros(len(sizes), length, width, dtype=dtype)
        for row, (generator, size) in enumerate(zip(generators, sizes, strict=True)):
            factors[row, :size] = (torch.rand(size, width, generator=generator) >= rate).to(dtype) / (1 - rate)
        return factors.to(self.device)

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take an optimizer step with the gradient of `net.weights`, split into the optimizer's parameters."""
        assert self.net.weights.grad is not None
        parameters = _get_parameters(optimizer)
        gradients = torch.split(self.net.weights.grad, [len(parameter) for parameter in parameters])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    def _update_best(self, epoch: int, loss: Tensor) -> None:
        better = self.running & (loss < self.best_loss)
        self.best_loss.copy_(torch.where(better, loss, self.best_loss))
        self.best_epoch.masked_fill_(better, epoch)
        weights = self.net.weights.detach()
        if self.device.type == "cpu":  # testing each row costs little here, and few rows are copied
            for row in better.nonzero().flatten().tolist():
                self.best_weights[row] = weights[row]
        else:
            torch.where(better.unsqueeze(1), weights, self.best_weights, out=self.best_weights)

    def _stop_members(self, epoch: int, loss: Tensor) -> None:
        """Count the epoch and mark the members that are done. Their later epochs are not recorded."""
        self.num_epochs += self.running
        before = self.running.clone() if self.keep_final_weights else self.running
        if epoch + 1 == self.cfg.max_epochs:
            self.running.fill_(False)
        self.running &= loss >= (-torch.inf if self.cfg.stop_loss is None else self.cfg.stop_loss)  # False for NaN
        if self.cfg.patience is not None:
            self.running &= epoch - self.best_epoch < self.cfg.patience
        # on a GPU, a single member also trains to the end of the chunk
        if self.keep_final_weights and self.device.type == "cpu":
            for row in (before & ~self.running).nonzero().flatten().tolist():
                self.final_weights[self.member_indices[row]] = self.net.weights.detach()[row].clone()

    def shrink(self, rows: list[int]) -> None:
        """Remove all rows except `rows`: the removed members are done."""
        (old,) = self.trainer.optimizers
        states = [old.state[parameter] for parameter in _get_parameters(old)]
        self._select_rows(rows)
        new = self.configure_optimizers()
        parameters = _get_parameters(new)
        for parameter in parameters:
            new.state[parameter] = {"step": states[0]["step"].clone()}
        for name in ("exp_avg", "exp_avg_sq"):
            moments = torch.cat([state[name] for state in states])[rows]
            parts = torch.split(moments, [len(parameter) for parameter in parameters])
            for parameter, moment in zip(parameters, parts, strict=True):
                new.state[parameter][name] = moment.clone()
        self.trainer.optimizers = [new]

    def _select_rows(self, rows: list[int]) -> None:
        self.member_indices = [self.member_indices[row] for row in rows]
        self.net.weights = nn.Parameter(self.net.weights.detach()[rows].clone())
        for name, buffer in list(self.named_buffers(recurse=False)):
            setattr(self, name, buffer[rows].clone())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state that a resumed group needs, and the current network of every member in the group."""
        checkpoint["present"], checkpoint["num_epochs"] = self.member_indices, self.epoch
        checkpoint["networks"] = [
            self.network_content(i, row) for i, row in zip(self.member_indices, self.net.weights.detach(), strict=True)
        ]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Set the epoch, and remove the members that were not in the group any more."""
        self.epoch = checkpoint["num_epochs"]
        self._select_rows(checkpoint["present"])

    def network_content(self, index: int, row: Tensor) -> dict[str, Any]:
        """Return the content of a checkpoint of a member with the weights `row` (P,); see `FittedNetwork.content`."""
        member = self.members[index]
        training_set = member.training_set
        inputs = build_input_layer(training_set, row.dtype).state_dict()
        weights = self.net.get_state(row.cpu())
        parts = {f"inputs.{k}": v for k, v in inputs.items()} | {f"net.{k}": v for k, v in weights.items()}
        settings = {"model": asdict(member.model), "features": list(training_set.features), "label": training_set.label}
        return {**settings, "state_dict": parts}


class GroupBatches:
    """Iterable of one batch, which stays in memory: the patients of every member that is still in the task."""

    def __init__(self, task: ExpansionTask) -> None:
        self.task = task
        self._members: list[int] | None = None

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[dict[str, PatientBatch]]:
        members = self.task.member_indices
        if self._members != members:
            training_sets = [self.task.members[i].training_set for i in members]
            dtype = self.task.best_loss.dtype
            self._batch = {"train": build_batch(training_sets, "", dtype)}
            if self.task.monitor == "val/loss":
                self._batch["val"] = build_batch(training_sets, "val_", dtype)
            self._members = members
        yield self._batch


def _get_parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _build_batched(members: Sequence[Member], collapse: bool) -> BatchedNetwork:
    """Return the networks of all members; the first weights of each depend on its seed only."""
    first = members[0]
    assert isinstance(first.model, NetConfig), first.model.name
    with torch.random.fork_rng(devices=[]):
        net = build_network(len(first.training_set.features), **asdict(first.model))
        batched, rows = BatchedNetwork([net], collapse), []
        for member in members:
            reset_network(net, member.seed, first.model.init)
            rows.append(batched.pack(net.state_dict()))
    batched.weights = nn.Parameter(torch.stack(rows))
    return batched
