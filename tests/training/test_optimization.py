"""Optimizers, schedules, losses and clipping of a group of members equal those of PyTorch for each network alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_loop import Make, equal
from torch import Tensor, nn
from torch.optim import lr_scheduler

from hemexp import config as c
from hemexp.errors import Interrupted
from hemexp.models.registry import build_network
from hemexp.training.checkpoint import members_key
from hemexp.training.fit import fit, get_shape
from hemexp.training.loop import fit_group
from hemexp.training.loss import get_class_weights, mean_loss, patient_losses
from hemexp.training.member import Member
from hemexp.training.optimizer import build_optimizer
from hemexp.training.patient_batch import build_input_layer
from hemexp.training.recorder import Recorder
from hemexp.training.schedule import Schedules, build_scheduler

EPOCHS = 100
SCHEDULERS: list[c.SchedulerConfig] = [
    c.SchedulerConfig(),
    c.CosineConfig("cosine", min_lr=1e-4),
    c.StepConfig("step", every=30, factor=0.3),
    c.WarmupCosineConfig("warmup_cosine", min_lr=1e-5, warmup=0.17),
    c.PlateauConfig("plateau", factor=0.4, patience=1, threshold=0.05, min_lr=2e-4),
    c.PlateauConfig("plateau", factor=0.9, patience=0, threshold=0.0),
]
ADAM = [c.OptimizerConfig(lr, decay) for lr, decay in ((1e-3, 0.0), (1e-2, 0.0), (1e-2, 0.1))]
ADAMW = [c.AdamWConfig(lr, decay, "adamw") for lr, decay in ((1e-3, 0.01), (1e-2, 0.0), (1e-2, 0.5))]
SGD = [c.SGDConfig(lr, decay, "sgd", momentum) for lr, decay, momentum in ((0.05, 0, 0.9), (0.1, 0.01, 0.0))]
NESTEROV = [c.SGDConfig(lr, 1e-3, "sgd", momentum, True) for lr, momentum in ((0.05, 0.9), (0.02, 0.5))]
SETTINGS: dict[str, tuple[list[Any], c.LossConfig, float | None]] = {
    "adam, weighted": (ADAM, c.LossConfig("weighted"), None),
    "adamw, label smoothing, clipped": (ADAMW, c.LabelSmoothingConfig("label_smoothing", epsilon=0.2), 0.05),
    "sgd, focal, clipped": (SGD, c.FocalConfig("focal", gamma=1.5), 0.02),
    "nesterov": (NESTEROV, c.LossConfig(), None),
}


@pytest.fixture
def group(members: Make) -> Callable[..., list[Member]]:
    """Make members of one shape that differ in fold, seed, rates and schedule."""

    def make(setting: str, *overrides: str, model: str = "mlp") -> list[Member]:
        optimizers, loss, _ = SETTINGS[setting]
        return [
            replace(
                member, optimizer=optimizers[number % len(optimizers)], scheduler=scheduler, loss=loss, keep_last=True
            )
            for number, (member, scheduler) in enumerate(
                zip(members(range(len(SCHEDULERS)), *overrides, model=model), SCHEDULERS, strict=True)
            )
        ]

    return make


def torch_optimizer(config: Any, net: nn.Module) -> torch.optim.Optimizer:
    rates = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.name == "sgd":
        return torch.optim.SGD(net.parameters(), momentum=config.momentum, nesterov=config.nesterov, **rates)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name](net.parameters(), **rates)


def torch_scheduler(config: Any, optimizer: torch.optim.Optimizer) -> Any:
    match config.name:
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS, config.min_lr)
        case "step":
            return lr_scheduler.StepLR(optimizer, config.every, config.factor)
        case "plateau":
            settings = {key: getattr(config, key) for key in ("factor", "patience", "threshold", "min_lr")}
            return lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **settings)
        case "warmup_cosine":  # 17 of 100 epochs
            rise = lr_scheduler.LinearLR(optimizer, 1 / 18, total_iters=17)
            fall = lr_scheduler.CosineAnnealingLR(optimizer, 83, config.min_lr)
            return lr_scheduler.SequentialLR(optimizer, [rise, fall], [17])
    return None


def torch_loss(config: Any, train_labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    match config.name:
        case "weighted":
            share = train_labels.double().mean()
            return nn.CrossEntropyLoss(weight=torch.stack([0.5 / (1 - share), 0.5 / share]))
        case "label_smoothing":
            return nn.CrossEntropyLoss(label_smoothing=config.epsilon)
        case "focal":

            def focal(logits: Tensor, labels: Tensor) -> Tensor:
                p = torch.softmax(logits, 1)[torch.arange(len(labels)), labels]
                return (-((1 - p) ** config.gamma) * p.log()).mean()

            return focal
    return nn.CrossEntropyLoss()


def train_alone(member: Member, clip: float | None) -> tuple[pd.DataFrame, nn.Module]:
    """Train the plain network by PyTorch's own classes in 64 bits; return the curves and the network at the end."""
    fold = member.training_set
    torch.manual_seed(member.seed)
    net = build_network(len(fold.features), **vars(member.model)).double()
    layer = build_input_layer(fold, torch.float64)
    inputs, labels = layer(torch.tensor(fold.inputs)), torch.tensor(fold.labels)
    validation, outcomes = layer(torch.tensor(fold.val_inputs)), torch.tensor(fold.val_labels)
    optimizer, loss = torch_optimizer(member.optimizer, net), torch_loss(member.loss, labels)
    scheduler = torch_scheduler(member.scheduler, optimizer)
    rows = []
    for _ in range(EPOCHS):
        row = {"lr": optimizer.param_groups[0]["lr"]}
        train_loss = loss(net(inputs), labels)
        optimizer.zero_grad()
        train_loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        with torch.no_grad():
            row |= {"train/loss": float(train_loss), "val/loss": float(loss(net(validation), outcomes))}
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(row["val/loss"])
        elif scheduler is not None:
            scheduler.step()
        rows.append(row)
    return pd.DataFrame(rows), net


@pytest.mark.parametrize("model", ["mlp", pytest.param("sacnn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("setting", SETTINGS)
def test_100_epochs_equal_those_of_torchs_own_classes(setting: str, model: str, group: Callable, trainer: Callable):
    """Curves, rates and last weights agree within 1e-8 in 64 bits."""
    clip = SETTINGS[setting][2]
    together = group(setting, model=model)
    assert len({get_shape(member, trainer()) for member in together}) == 1
    cfg = trainer(max_epochs=EPOCHS, precision=64, gradient_clip_val=clip)
    for member, result in zip(together, fit_group(together, cfg), strict=True):
        expected, net = train_alone(member, clip)
        if member.scheduler.name == "none":
            assert "lr" not in result.history
            del expected["lr"]
        else:
            assert expected["lr"].nunique() > 3
        pd.testing.assert_frame_equal(result.history[expected.columns], expected, rtol=0, atol=1e-8)
        assert result.best_epoch == expected["val/loss"].argmin()
        assert result.last is not None
        for name, value in net.state_dict().items():
            torch.testing.assert_close(result.last["state_dict"][f"net.{name}"], value, rtol=0, atol=1e-8)


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 10, 1000])
def test_the_rates_are_those_of_torchs_schedulers(max_epochs: int, members: Make):
    """Within 1e-12, with random losses for scheduler=plateau."""
    losses = np.random.default_rng(0).random((max_epochs, len(SCHEDULERS)))
    group = [replace(member, scheduler=each) for member, each in zip(members(range(6)), SCHEDULERS, strict=True)]
    schedules, planned = Schedules(group, max_epochs), []
    for start in range(0, max_epochs, 7):  # in chunks
        planned += schedules.plan(range(start, min(start + 7, max_epochs)), range(6))
    ours = []
    for row, loss in zip(planned, losses, strict=True):
        ours.append(schedules.get_rates(row).tolist())
        schedules.follow(torch.from_numpy(loss))
    for number, member in enumerate(group):
        optimizer = build_optimizer(member.optimizer, [nn.Parameter(torch.zeros(1))])
        scheduler, rates = build_scheduler(member.scheduler, optimizer, max_epochs), []
        for loss in losses[:, number]:
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
                scheduler.step(loss)
            elif scheduler is not None:
                scheduler.step()
        np.testing.assert_allclose([row[number] for row in ours], rates, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", [*ADAM, *ADAMW, *SGD, *NESTEROV], ids=repr)
def test_the_optimizer_for_one_network_is_torchs(optimizer: Any):
    net = nn.Linear(2, 2)
    built, expected = build_optimizer(optimizer, net.parameters()), torch_optimizer(optimizer, net)
    assert type(built) is type(expected)
    assert built.defaults == expected.defaults


@pytest.mark.parametrize("name", ["cross_entropy", "weighted", "label_smoothing", "focal"])
def test_the_loss_of_patients_and_its_mean_are_torchs(name: str):
    """For one network, and for members with their own class weights; the last column of the members is padding."""
    kinds: dict[str, Any] = {"focal": c.FocalConfig, "label_smoothing": c.LabelSmoothingConfig}
    loss = kinds.get(name, c.LossConfig)(name)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 8, 2, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[0, 0, 1, 0, 0, 1, 0, 0], [1, 1, 0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0, 0]])
    weights = torch.stack([get_class_weights(row) for row in labels])
    real = (torch.arange(8) < 7).expand(3, 8)
    together = mean_loss(loss, logits, labels, weights, real)
    for row in range(3):
        expected = torch_loss(loss, labels[row])
        alone = mean_loss(loss, logits[row], labels[row], weights[row])
        torch.testing.assert_close(alone, expected(logits[row], labels[row]), rtol=0, atol=1e-12)
        torch.testing.assert_close(together[row], expected(logits[row, :7], labels[row, :7]), rtol=0, atol=1e-12)
    each = patient_losses(loss, logits, labels, weights)
    assert each.shape == labels.shape
    assert each[0, 2] == patient_losses(loss, logits[0], labels[0], weights[0])[2]
    with pytest.raises(ValueError, match="get_class_weights"):
        mean_loss(c.LossConfig("weighted"), logits, labels)


def test_the_focal_loss_of_a_certain_patient_has_a_finite_gradient():
    for gamma in (0.0, 0.5, 2.0):
        logits = torch.tensor([[-200.0, 200.0], [200.0, -200.0]], requires_grad=True)
        mean_loss(c.FocalConfig("focal", gamma=gamma), logits, torch.tensor([1, 1])).backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_class_weights_give_both_outcomes_the_same_weight():
    labels = torch.tensor([0, 1, 0, 0])
    assert get_class_weights(labels).tolist() == [4 / 6, 2.0]
    assert get_class_weights(torch.tensor([1, 1])).isfinite().all()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("changes", [{}, {"batch_size": 12, "gradient_clip_val": 0.02}], ids=["full", "mini-batches"])
def test_a_member_has_the_same_bits_alone_and_in_a_group(
    setting: str, changes: dict[str, Any], group: Callable, trainer: Callable
):
    together = group(setting, "model.dropout=0.2")
    cfg = trainer(max_epochs=15, **{"gradient_clip_val": SETTINGS[setting][2], **changes})
    whole = fit_group(together, cfg)
    for which in ([0], [1], [4], [5, 2], [3, 4, 1], [2, 1, 0, 5]):
        some = fit_group([together[number] for number in which], cfg)
        assert [equal(result, whole[number]) for number, result in zip(which, some, strict=True)] == [True] * len(which)


@pytest.mark.slow
def test_clipping_at_full_size_does_not_depend_on_the_group(trainer: Callable):
    from test_loop import paper_member

    member, cfg = paper_member(), trainer(max_epochs=5, gradient_clip_val=0.1)
    whole = fit_group([replace(member, seed=seed) for seed in range(17)], cfg)
    for which in ([0], [16], [3, 4], range(8)):
        some = fit_group([replace(member, seed=seed) for seed in which], cfg)
        assert all(equal(result, whole[seed]) for seed, result in zip(which, some, strict=True))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_shrunken_and_resumed_group_has_the_results_of_members_alone(
    setting: str, group: Callable, trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cfg = trainer(max_epochs=120, patience=25, gradient_clip_val=SETTINGS[setting][2])
    together = group(setting)
    alone = [fit_group([member], cfg)[0] for member in together]
    assert len({result.epochs for result in alone}) > 2
    monkeypatch.setattr("hemexp.training.task._CHUNK_EPOCHS", 9)
    original = Recorder.on_train_epoch_end

    def ctrl_c(self, trainer, module):
        self.stop.value = module.epoch >= after
        original(self, trainer, module)

    monkeypatch.setattr(Recorder, "on_train_epoch_end", ctrl_c)
    ends = sorted(result.epochs for result in alone)
    for after in (ends[0] // 2, ends[3], 10**6):  # before and after the group has shrunk, and never
        if after < ends[-1]:
            with pytest.raises(Interrupted):
                fit_group(together, cfg, checkpoint=tmp_path / "last.ckpt")
            left = torch.load(tmp_path / "last.ckpt", weights_only=True)["present"]
    results = fit_group(together, cfg, checkpoint=tmp_path / "last.ckpt")
    assert 0 < len(left) <= 3
    assert all(equal(one, other) for one, other in zip(results, alone, strict=True))


def test_members_with_other_optimizers_and_losses_are_trained_in_other_groups(members: Make, trainer: Callable):
    (member,) = members([0])
    differing = [
        replace(member, optimizer=ADAMW[0]), replace(member, optimizer=SGD[0]), replace(member, optimizer=NESTEROV[0]),
        *(replace(member, loss=loss) for loss in (c.LossConfig("weighted"), c.FocalConfig("focal"))),
        replace(member, loss=c.FocalConfig("focal", gamma=1.0)),
    ]  # fmt: skip
    every = [member, *differing]
    assert len({get_shape(each, trainer()) for each in every}) == len(every)
    cfg = trainer(max_epochs=3)
    alone = [fit_group([each], cfg)[0] for each in every]
    assert all(equal(one, other) for one, other in zip(fit(every, cfg, num_workers=1), alone, strict=True))
    keys = {members_key([each], cfg) for each in [*every, *(replace(member, scheduler=s) for s in SCHEDULERS[1:])]}
    assert len(keys) == len(every) + len(SCHEDULERS) - 1


def test_states_of_earlier_versions_are_still_found(members: Make, trainer: Callable):
    assert members_key(members([0, 1]), trainer()) == "b1e3649c60f93ae0"
