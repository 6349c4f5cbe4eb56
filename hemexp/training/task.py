"""The task: the members of one group, their loss and their optimizer. The loop around it is `hemexp.training`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.config import NetConfig, SelfAttentionConfig, TrainerConfig
from hemexp.data.training_set import TrainingSet
from hemexp.models.input_layer import InputLayer
from hemexp.models.network import build_network
from hemexp.training.batched_network import BatchedNetwork, Weights
from hemexp.training.member import Member

Curves = dict[str, Tensor]  # score to (epochs, M)

ROWS = 16  # patients are padded to a multiple, with weight 0: see hemexp.training.batched_network
_CHUNK_EPOCHS, _CHUNK_SECONDS = 50, 0.5  # an optimizer that nobody looks at for half a second


class Patients(NamedTuple):
    """Scaled inputs (M, B, F), labels (M, B), who is real and no padding (M, B), and how many those are (M,)."""

    inputs: Tensor
    labels: Tensor
    real: Tensor
    num_real: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Return each member's mean of (..., M, B) over its real patients, (..., M)."""
        return (values * self.real).sum(-1) / self.num_real


class ExpansionTask(LightningModule):
    """M members learn expansion at once by cross entropy and Adam (paper, section 3.2); a single run is one member.

    A `training_step` is a chunk of epochs, as many as take half a second and 50 at most, so that what Lightning does
    around a step costs nothing beside it. Nothing that is computed depends on where chunks end, or on who else is in
    the group.

    Args:
        members: of one shape; those of equal rates side by side.
        cfg: when to stop, batch size, precision.
    """

    best_weights: Tensor  # (M, P)
    best_loss: Tensor  # (M,)
    best_epoch: Tensor  # (M,)
    num_epochs: Tensor  # (M,) that the member took part in
    running: Tensor  # (M,) whether it still does

    def __init__(self, members: Sequence[Member], cfg: TrainerConfig) -> None:
        super().__init__()
        self.automatic_optimization = False  # several optimizer steps in a training_step
        self.members, self.cfg = list(members), cfg
        self.present = list(range(len(members)))  # which of them row m of every tensor is
        self.epoch, self.chunk = 0, 1
        self.keeps_ends = False  # whether `ends` is kept: the last weights (P,) of members that ended within the chunk
        self.ends: dict[int, Tensor] = {}
        model = members[0].model
        assert isinstance(model, NetConfig), model.name
        self.dropout = model.dropout
        collapse = isinstance(model, SelfAttentionConfig) and model.collapses
        dtype = torch.float64 if cfg.precision == 64 else torch.float32
        self.net = BatchedNetwork([_initial_net(member).to(dtype) for member in members], collapse)
        self.monitor = "val/loss" if len(members[0].training_set.val_labels) else "train/loss"
        count = len(members)
        self.register_buffer("best_weights", self.net.weights.detach().clone())
        self.register_buffer("best_loss", torch.full((count,), torch.inf, dtype=dtype))
        self.register_buffer("best_epoch", torch.full((count,), -1))
        self.register_buffer("num_epochs", torch.zeros(count, dtype=torch.long))
        self.register_buffer("running", torch.ones(count, dtype=torch.bool))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return one Adam; members of equal rates are one parameter of it. `weight_decay` is the L2 penalty."""
        groups = []
        for (lr, weight_decay), rows in groupby(range(len(self.present)), key=self._rates):
            span = list(rows)
            rows_of = self.net.weights.data[span[0] : span[-1] + 1]
            groups.append({"params": [nn.Parameter(rows_of)], "lr": lr, "weight_decay": weight_decay})
        return torch.optim.Adam(groups, fused=True)

    def _rates(self, row: int) -> tuple[float, float]:
        optimizer = self.members[self.present[row]].optimizer
        return optimizer.lr, optimizer.weight_decay

    def training_step(self, batch: dict[str, Patients], batch_idx: int) -> Curves:
        """Train for a chunk of epochs; return every member's scores in each of them."""
        started = time.perf_counter()
        full_batch = (self.cfg.batch_size or self._sizes()[0]) >= self._sizes()[0]
        whole = self.net.prepare(batch["train"].inputs) if full_batch else None
        val = self.net.prepare(batch["val"].inputs) if "val" in batch else None
        epochs = range(self.epoch, min(self.epoch + self.chunk, self.cfg.max_epochs))
        scores = []
        for epoch in epochs:
            scores.append(self._train_epoch(epoch, batch, whole, val))
            if self.device.type == "cpu" and not self.running.any():  # on a GPU, looking would make it wait
                break
        curves = {name: torch.stack([score[name] for score in scores]).cpu() for name in scores[0]}
        if "val" in batch:
            logits = curves.pop("val/logits")  # (epochs, M, V)
            held_out = Patients(*(part.cpu() for part in batch["val"]))
            curves["val/accuracy"] = held_out.mean((logits > 0) == held_out.labels.bool())
            curves["val/auroc"] = auroc(logits, held_out.labels, held_out.real)
        self.epoch += len(scores)
        seconds = (time.perf_counter() - started) / len(scores)
        self.chunk = max(1, min(_CHUNK_EPOCHS, int(_CHUNK_SECONDS / seconds)))
        return curves

    def _train_epoch(
        self, epoch: int, batch: dict[str, Patients], whole: Weights | None, val: Weights | None
    ) -> dict[str, Tensor]:
        """Take the epoch's steps. The scores of a full batch are those before its step, the validation part's after."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        scores: dict[str, Tensor] = {}
        kept = False
        for patients, inputs, share, noise in self._steps(epoch, batch["train"], whole):
            logits = self.net(inputs, noise)  # (M, B, 2)
            loss = _losses(logits, patients)  # (M,)
            self.net.weights.grad = None
            torch.autograd.backward(loss.sum())  # never the mean: members must not meet
            hits = (logits[:, :, 1] > logits[:, :, 0]) == patients.labels.bool()
            for name, score in (("train/loss", loss.detach()), ("train/accuracy", patients.mean(hits))):
                scores[name] = scores.get(name, 0) + share * score
            if share == 1 and self.monitor == "train/loss":
                self._keep_best(epoch, scores["train/loss"])  # the weights before the step had it
                kept = True
            self._step(optimizer)
        if val is not None:
            with torch.no_grad():
                logits = self.net(val)
            scores["val/loss"] = _losses(logits, batch["val"])
            scores["val/logits"] = logits[:, :, 1] - logits[:, :, 0]
        if not kept:
            self._keep_best(epoch, scores[self.monitor])
        self._stop_members(epoch, scores["train/loss"])
        return scores

    def _steps(
        self, epoch: int, patients: Patients, whole: Weights | None
    ) -> Iterator[tuple[Patients, Weights, float, Tensor | None]]:
        """Yield each step's patients, their prepared inputs, their share of the epoch, and dropout's factors."""
        sizes = self._sizes()
        generators = self._generators(epoch)
        if whole is not None:
            yield patients, whole, 1.0, self._dropout(generators, sizes, patients.labels.shape[1])
            return
        orders = [np.random.default_rng([self.members[i].seed, epoch]).permutation(sizes[0]) for i in self.present]
        order = torch.from_numpy(np.stack(orders)).to(self.device)  # (M, N)
        for rows in torch.split(order, self.cfg.batch_size or sizes[0], dim=1):
            count = rows.shape[1]
            padded = F.pad(rows, (0, -count % ROWS))  # (M, b)
            inputs = patients.inputs.gather(1, padded.unsqueeze(2).expand(-1, -1, patients.inputs.shape[2]))
            real = F.pad(torch.ones_like(rows, dtype=torch.bool), (0, -count % ROWS))
            step = Patients(inputs, patients.labels.gather(1, padded), real, real.sum(1))
            noise = self._dropout(generators, [count] * len(orders), padded.shape[1])
            yield step, self.net.prepare(inputs), count / sizes[0], noise

    def _sizes(self) -> list[int]:
        return [len(self.members[i].training_set.labels) for i in self.present]

    def _generators(self, epoch: int) -> list[torch.Generator]:
        """Return a generator a member, seeded by epoch, so that a resumed run draws what an uninterrupted one draws."""
        if self.dropout == 0:
            return []
        entropy = (np.random.SeedSequence([self.members[i].seed, epoch]) for i in self.present)
        return [torch.Generator().manual_seed(int(each.generate_state(1, np.uint64)[0] >> 1)) for each in entropy]

    def _dropout(self, generators: list[torch.Generator], sizes: list[int], length: int) -> Tensor | None:
        """Draw the factors of the hidden layer (M, B, D), each member's from its own generator."""
        if not generators:
            return None
        rate = self.dropout
        dtype, width = self.best_loss.dtype, self.net.hidden_dim
        factors = torch.zeros(len(sizes), length, width, dtype=dtype)
        for row, (generator, size) in enumerate(zip(generators, sizes, strict=True)):
            factors[row, :size] = (torch.rand(size, width, generator=generator) >= rate).to(dtype) / (1 - rate)
        return factors.to(self.device)

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        assert self.net.weights.grad is not None
        start = 0
        for group in optimizer.param_groups:
            (rows,) = group["params"]
            rows.grad = self.net.weights.grad[start : start + len(rows)]
            start += len(rows)
        optimizer.step()

    def _keep_best(self, epoch: int, loss: Tensor) -> None:
        better = self.running & (loss < self.best_loss)
        self.best_loss.copy_(torch.where(better, loss, self.best_loss))
        self.best_epoch.masked_fill_(better, epoch)
        weights = self.net.weights.detach()
        if self.device.type == "cpu":  # where looking costs nothing, copying what is new is the least work
            for row in better.nonzero().flatten().tolist():
                self.best_weights[row] = weights[row]
        else:
            torch.where(better.unsqueeze(1), weights, self.best_weights, out=self.best_weights)

    def _stop_members(self, epoch: int, loss: Tensor) -> None:
        """Count the epoch, and take the members out that are done: what they do from here on is not kept."""
        self.num_epochs += self.running
        before = self.running.clone() if self.keeps_ends else self.running
        if epoch + 1 == self.cfg.max_epochs:
            self.running.fill_(False)
        self.running &= loss >= (-torch.inf if self.cfg.stop_loss is None else self.cfg.stop_loss)  # False for NaN
        if self.cfg.patience is not None:
            self.running &= epoch - self.best_epoch < self.cfg.patience
        if self.keeps_ends and self.device.type == "cpu":  # elsewhere a member alone trains to the end of the chunk too
            for row in (before & ~self.running).nonzero().flatten().tolist():
                self.ends[self.present[row]] = self.net.weights.detach()[row].clone()

    def keep(self, rows: list[int]) -> None:
        """Go on with some rows only: those of the others cost time and are done."""
        old = self.optimizers(use_pl_optimizer=False)
        assert isinstance(old, torch.optim.Optimizer)
        states = [old.state[group["params"][0]] for group in old.param_groups]
        moments = {name: torch.cat([state[name] for state in states])[rows] for name in ("exp_avg", "exp_avg_sq")}
        self._keep_rows(rows)
        new = self.configure_optimizers()
        start = 0
        for group in new.param_groups:
            (parameter,) = group["params"]
            span = slice(start, start + len(parameter))
            new.state[parameter] = {
                "step": states[0]["step"].clone(),
                **{name: moment[span].clone() for name, moment in moments.items()},
            }
            start = span.stop
        self.trainer.optimizers = [new]

    def _keep_rows(self, rows: list[int]) -> None:
        self.present = [self.present[row] for row in rows]
        self.net.weights = nn.Parameter(self.net.weights.detach()[rows].clone())
        for name, buffer in list(self.named_buffers(recurse=False)):
            setattr(self, name, buffer[rows].clone())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed group needs, and the network, as it is, of every member still in the group."""
        checkpoint["present"], checkpoint["num_epochs"] = self.present, self.epoch
        checkpoint["networks"] = [
            self.network(i, row) for i, row in zip(self.present, self.net.weights.detach(), strict=True)
        ]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over how far the group was, and who was left in it."""
        self.epoch = checkpoint["num_epochs"]
        self._keep_rows(checkpoint["present"])

    def network(self, index: int, row: Tensor) -> dict[str, Any]:
        """Return the content of a checkpoint of a member with a row of weights (P,); see `hemexp.models.network`."""
        member = self.members[index]
        inputs = input_layer(member.training_set, row.dtype).state_dict()
        weights = self.net.get_state(row.cpu())
        parts = {f"inputs.{k}": v for k, v in inputs.items()} | {f"net.{k}": v for k, v in weights.items()}
        training_set = member.training_set
        return {
            "model": asdict(member.model),
            "features": list(training_set.features),
            "label": training_set.label,
            "state_dict": parts,
        }


def input_layer(training_set: TrainingSet, dtype: torch.dtype) -> InputLayer:
    """Return the layer that fills gaps and scales as the training_set's training part says."""
    layer = InputLayer(len(training_set.features)).to(dtype)
    layer.set(training_set.preprocessing)
    return layer


class GroupBatches:
    """The one batch of a group, which stays in memory: the patients of every member that is still in the task."""

    def __init__(self, task: ExpansionTask) -> None:
        self.task = task
        self._made_for: list[int] | None = None

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[dict[str, Patients]]:
        present = self.task.present
        if self._made_for != present:
            training_sets = [self.task.members[i].training_set for i in present]
            dtype = self.task.best_loss.dtype
            self._batch = {"train": _patients(training_sets, "", dtype)}
            if self.task.monitor == "val/loss":
                self._batch["val"] = _patients(training_sets, "val_", dtype)
            self._made_for = present
        yield self._batch


def _patients(training_sets: list[TrainingSet], part: str, dtype: torch.dtype) -> Patients:
    labels = [torch.from_numpy(getattr(training_set, f"{part}labels")) for training_set in training_sets]
    longest = max(len(each) for each in labels)
    longest += -longest % ROWS
    scaled: dict[int, Tensor] = {}  # members share training_sets
    for training_set in training_sets:
        if id(training_set) not in scaled:
            raw = torch.from_numpy(getattr(training_set, f"{part}inputs")).to(dtype)
            scaled[id(training_set)] = F.pad(input_layer(training_set, dtype)(raw), (0, 0, 0, longest - len(raw)))
    real = torch.stack([torch.arange(longest) < len(each) for each in labels])
    return Patients(
        torch.stack([scaled[id(training_set)] for training_set in training_sets]),
        torch.stack([F.pad(each, (0, longest - len(each))) for each in labels]),
        real,
        real.sum(1),
    )


def _initial_net(member: Member) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.seed)
        return build_network(len(member.training_set.features), **asdict(member.model))


def _losses(logits: Tensor, patients: Patients) -> Tensor:
    """Return each member's mean cross entropy, (M,)."""
    losses = F.cross_entropy(logits.flatten(0, 1), patients.labels.flatten(), reduction="none")
    return patients.mean(losses.view_as(patients.labels))


def auroc(scores: Tensor, labels: Tensor, real: Tensor) -> Tensor:
    """Return the area under the ROC curve of many rankings at once, ties counted half; NaN where one class is missing.

    Shape:
        scores (E, M, V); labels and real, False for padding, (M, V); output (E, M).
    """
    scores = scores.masked_fill(~real, torch.inf)
    ordered = scores.sort(dim=2).values.contiguous()
    below, upto = (torch.searchsorted(ordered, scores.contiguous(), side=side) for side in ("left", "right"))
    ranks = (below + upto + 1).double() / 2
    positive, negative = real & (labels == 1), real & (labels == 0)
    counts = positive.sum(1), negative.sum(1)
    area = ((ranks * positive).sum(2) - counts[0] * (counts[0] + 1) / 2) / (counts[0] * counts[1])
    return area.masked_fill(scores.isnan().any(2), torch.nan).to(scores.dtype)
