"""The LightningModule: the networks of one group, their loss, their optimizer and when they stop."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.config import NetConfig, SelfAttentionConfig, TrainerConfig, list_settings
from hemexp.models.first_weights import read_first_weights
from hemexp.models.registry import build_network, reset_network
from hemexp.models.sacnn import ParallelNetwork
from hemexp.training.batched_network import BatchedNetwork, Weights
from hemexp.training.checkpoint import ENGINE
from hemexp.training.counters import BITS, build_keys, derive_keys, draw
from hemexp.training.device import is_cpu
from hemexp.training.loss import auroc, get_class_weights, mean_loss, patient_losses
from hemexp.training.member import Member
from hemexp.training.optimizer import build_row_optimizer, clip_rows
from hemexp.training.patient_batch import ROW_MULTIPLE, PatientBatch, build_batch, build_input_layer
from hemexp.training.schedule import Schedules

Curves = dict[str, Tensor]  # name of a score: (epochs, M)

_DROPOUT, _ORDER = 0, 1  # of each two streams of random numbers of an epoch
_CHUNK_EPOCHS, _CHUNK_SECONDS = 50, 0.5  # longest chunk; progress is shown and a signal is noticed between chunks


class ExpansionTask(LightningModule):
    """M networks learn expansion together, by default by cross entropy and Adam (paper, section 3.2).

    A single run has M = 1.

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
    class_weights: Tensor | None  # (M, 2) for loss=weighted
    keys: Tensor  # (M,) of the random numbers; see `hemexp.training.counters`

    def __init__(self, members: Sequence[Member], cfg: TrainerConfig) -> None:
        super().__init__()
        self.automatic_optimization = False  # several optimizer steps in a training_step
        self.members, self.cfg = list(members), cfg
        self.member_indices = list(range(len(members)))  # of row m of every tensor; shorter once members are done
        self.epoch, self.chunk = 0, 1
        model = members[0].model
        assert isinstance(model, NetConfig), model.name
        self.dropout = model.dropout
        collapse = isinstance(model, SelfAttentionConfig) and model.collapses
        dtype = torch.float64 if cfg.precision == 64 else torch.float32
        self.net = _build_batched(members, collapse, dtype).to(dtype)
        self.monitor = "val/loss" if len(members[0].training_set.val_labels) else "train/loss"
        count = len(members)
        self.register_buffer("best_weights", self.net.weights.detach().clone())
        self.register_buffer("best_loss", torch.full((count,), torch.inf, dtype=dtype))
        self.register_buffer("best_epoch", torch.full((count,), -1))
        self.register_buffer("num_epochs", torch.zeros(count, dtype=torch.long))
        self.register_buffer("running", torch.ones(count, dtype=torch.bool))
        self.register_buffer("keys", build_keys([member.seed for member in members]), persistent=False)
        self.loss, weights = members[0].loss, None
        if self.loss.name == "weighted":
            labels = [torch.from_numpy(member.training_set.labels) for member in members]
            weights = torch.stack(list(map(get_class_weights, labels))).to(dtype)
        self.register_buffer("class_weights", weights, persistent=False)
        constant = all(member.scheduler.name == "none" for member in members)
        self.schedules = None if constant else Schedules(members, cfg.max_epochs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return an optimizer with the settings of every member. It leaves the weights of members that are done."""
        configs = [self.members[i].optimizer for i in self.member_indices]
        return build_row_optimizer(self.net.weights, configs, self.running)

    def training_step(self, batch: dict[str, PatientBatch], batch_idx: int) -> Curves:
        """Train for a chunk of epochs; return the scores of every member in each epoch."""
        started = time.perf_counter()
        full_batch = (self.cfg.batch_size or self._sizes()[0]) >= self._sizes()[0]
        full = self.net.prepare(batch["train"].inputs) if full_batch else None
        val = self.net.prepare(batch["val"].inputs) if "val" in batch else None
        end = min(self.epoch + self.chunk, self.cfg.max_epochs)
        if not is_cpu(self.running):  # a chunk ends where the group may shrink; see `may_shrink`
            end = min(end, self.epoch - self.epoch % _CHUNK_EPOCHS + _CHUNK_EPOCHS)
        epochs = range(self.epoch, end)
        rates = None if self.schedules is None else self.schedules.plan(epochs, self.member_indices)
        scores = []
        for epoch in epochs:
            planned = None if rates is None else rates[epoch - epochs.start]
            scores.append(self._train_epoch(epoch, batch, full, val, planned))
            if is_cpu(self.running) and not self.running.any():  # on a GPU, this test would wait for the device
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
        self,
        epoch: int,
        batch: dict[str, PatientBatch],
        full: Weights | None,
        val: Weights | None,
        planned: Tensor | None,
    ) -> dict[str, Tensor]:
        """Take the steps of an epoch. Training scores are computed before a step, validation scores after the last."""
        scores: dict[str, Tensor] = {}
        updated = False
        optimizer: Any = self.trainer.optimizers[0]
        if self.schedules is not None and planned is not None:
            scores["lr"] = self.schedules.get_rates(planned)
            optimizer.set_rates(scores["lr"])
        for patients, inputs, share, noise in self._steps(epoch, batch["train"], full):
            logits = self.net(inputs, noise)  # (M, B, 2)
            loss = self._compute_loss(logits, patients)  # (M,)
            self.net.weights.grad = None
            torch.autograd.backward(loss.sum())  # the sum, not the mean: the gradient of a member must not depend on M
            hits = (logits[:, :, 1] > logits[:, :, 0]) == patients.labels.bool()
            for name, score in (("train/loss", loss.detach()), ("train/accuracy", patients.mean(hits))):
                scores[name] = scores.get(name, 0) + share * score
            if share == 1 and self.monitor == "train/loss":
                self._update_best(epoch, scores["train/loss"])  # the loss of the weights before the step
                updated = True
            if self.cfg.gradient_clip_val is not None:
                assert self.net.weights.grad is not None
                clip_rows(self.net.weights.grad, self.cfg.gradient_clip_val)
            optimizer.step()
        if val is not None:
            with torch.no_grad():
                logits = self.net(val)
            scores["val/loss"] = self._compute_loss(logits, batch["val"])
            scores["val/logits"] = logits[:, :, 1] - logits[:, :, 0]
        if not updated:
            self._update_best(epoch, scores[self.monitor])
        if self.schedules is not None:
            self.schedules.follow(scores[self.monitor])
        self._stop_members(epoch, scores["train/loss"])
        return scores

    def _compute_loss(self, logits: Tensor, patients: PatientBatch) -> Tensor:
        """Return the mean loss of each member, (M,)."""
        if self.class_weights is None:
            return patients.mean(patient_losses(self.loss, logits, patients.labels))
        return mean_loss(self.loss, logits, patients.labels, self.class_weights, patients.real)

    def _steps(
        self, epoch: int, patients: PatientBatch, full: Weights | None
    ) -> Iterator[tuple[PatientBatch, Weights, float, Tensor | None]]:
        """Yield the patients of each step, their prepared inputs, their share of the epoch, and the dropout factors."""
        num_patients = self._sizes()[0]
        if full is not None:
            yield patients, full, 1.0, self._draw_dropout(epoch, patients.labels.shape[1])
            return
        order = draw(derive_keys(self.keys, _ORDER + 2 * epoch), num_patients).argsort(dim=1, stable=True)  # (M, N)
        size = self.cfg.batch_size or num_patients
        for step, rows in enumerate(torch.split(order, size, dim=1)):
            count = rows.shape[1]
            padded = F.pad(rows, (0, -count % ROW_MULTIPLE))  # (M, b)
            inputs = patients.inputs.gather(1, padded.unsqueeze(2).expand(-1, -1, patients.inputs.shape[2]))
            real = F.pad(torch.ones_like(rows, dtype=torch.bool), (0, -count % ROW_MULTIPLE))
            batch = PatientBatch(inputs, patients.labels.gather(1, padded), real, real.sum(1))
            noise = self._draw_dropout(epoch, padded.shape[1], step * size)
            yield batch, self.net.prepare(inputs), count / num_patients, noise

    def _sizes(self) -> list[int]:
        return [len(self.members[i].training_set.labels) for i in self.member_indices]

    def _draw_dropout(self, epoch: int, length: int, first: int = 0) -> Tensor | None:
        """Draw the dropout factors of the hidden layer, (M, B, D), by member, epoch, patient and column.

        Args:
            epoch: from 0.
            length: patients in the step, with padding.
            first: patients in the earlier steps of the epoch.
        """
        if self.dropout == 0:
            return None
        width = self.net.hidden_dim
        numbers = draw(derive_keys(self.keys, _DROPOUT + 2 * epoch), length * width, first * width)
        kept = numbers >= int(self.dropout * 2**BITS)
        return kept.view(-1, length, width).to(self.best_loss.dtype) / (1 - self.dropout)

    def _update_best(self, epoch: int, loss: Tensor) -> None:
        better = self.running & (loss < self.best_loss)
        self.best_loss.copy_(torch.where(better, loss, self.best_loss))
        self.best_epoch.masked_fill_(better, epoch)
        weights = self.net.weights.detach()
        if is_cpu(weights):  # testing each row costs little here, and few rows are copied
            for row in better.nonzero().flatten().tolist():
                self.best_weights[row] = weights[row]
        else:
            torch.where(better.unsqueeze(1), weights, self.best_weights, out=self.best_weights)

    def _stop_members(self, epoch: int, loss: Tensor) -> None:
        """Count the epoch and mark the members that are done. Their later epochs are not recorded."""
        self.num_epochs += self.running
        if epoch + 1 == self.cfg.max_epochs:
            self.running.fill_(False)
        self.running &= loss >= (-torch.inf if self.cfg.stop_loss is None else self.cfg.stop_loss)  # False for NaN
        if self.cfg.patience is not None:
            self.running &= epoch - self.best_epoch < self.cfg.patience

    @property
    def may_shrink(self) -> bool:
        """Whether the group may lose rows now. On a GPU, bits depend on the size, which must not depend on the time."""
        return is_cpu(self.running) or self.epoch % _CHUNK_EPOCHS == 0

    def shrink(self, rows: list[int]) -> None:
        """Remove all rows except `rows`: the removed members are done."""
        state = self.trainer.optimizers[0].state[self.net.weights]
        self._select_rows(rows)
        new = self.configure_optimizers()
        new.state[self.net.weights] = {name: v[rows] if isinstance(v, Tensor) else v for name, v in state.items()}
        self.trainer.optimizers = [new]

    def _select_rows(self, rows: list[int]) -> None:
        self.member_indices = [self.member_indices[row] for row in rows]
        self.net.weights = nn.Parameter(self.net.weights.detach()[rows])
        for module in self.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                setattr(module, name, buffer[rows])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state that a resumed group needs, and the current network of a single member, which can predict."""
        checkpoint |= {"engine": ENGINE, "present": self.member_indices, "num_epochs": self.epoch, "networks": []}
        if len(self.members) == 1:
            checkpoint["networks"] = [self.network_content(0, self.net.weights.detach()[0])]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Set the epoch, and remove the members that were not in the group any more."""
        self.epoch = checkpoint["num_epochs"]
        self._select_rows(checkpoint["present"])

    def release(self) -> None:
        """Drop all tensors. The Trainer refers to itself, so only Python's garbage collector frees it, much later."""
        self._buffers.clear()
        self._modules.clear()

    def network_content(self, index: int, row: Tensor) -> dict[str, Any]:
        """Return the content of a checkpoint of a member with the weights `row` (P,); see `FittedNetwork.content`."""
        member = self.members[index]
        training_set = member.training_set
        inputs = build_input_layer(training_set, row.dtype).state_dict()
        weights = self.net.get_state(row.cpu())
        parts = {f"inputs.{k}": v for k, v in inputs.items()} | {f"net.{k}": v for k, v in weights.items()}
        settings = {
            "model": list_settings(member.model),
            "features": list(training_set.features),
            "label": training_set.label,
        }
        return {**settings, "state_dict": parts}


class GroupBatches:
    """Iterable of one batch, which stays in memory: the patients of every member that is still in the task."""

    def __init__(self, task: ExpansionTask) -> None:
        self.task = task
        self.batch: dict[str, PatientBatch] = {}
        self._members: list[int] | None = None

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[dict[str, PatientBatch]]:
        members = self.task.member_indices
        if self._members != members:
            training_sets = [self.task.members[i].training_set for i in members]
            dtype = self.task.best_loss.dtype
            self.batch = {"train": build_batch(training_sets, "", dtype)}
            if self.task.monitor == "val/loss":
                self.batch["val"] = build_batch(training_sets, "val_", dtype)
            self._members = members
        yield self.batch


def _build_batched(members: Sequence[Member], collapse: bool, dtype: torch.dtype) -> BatchedNetwork:
    """Return the networks of all members; the first weights of each depend on its seed and ``model.init_from`` only."""
    first = members[0]
    assert isinstance(first.model, NetConfig), first.model.name
    with torch.random.fork_rng(devices=[]):
        net = build_network(len(first.training_set.features), **list_settings(first.model))
        assert isinstance(net, ParallelNetwork)
        batched, rows, begun = BatchedNetwork([net], collapse), [], read_first_weights(first.model)
        for member in members:
            reset_network(net, member.seed, first.model.init)
            state = net.state_dict()
            if begun is not None:
                state, _, _ = begun.take_over(net, member.training_set.features, dtype)
            rows.append(batched.pack(state))
    batched.weights = nn.Parameter(torch.stack(rows))
    return batched
