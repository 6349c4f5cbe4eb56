"""Callbacks, losses, optimizers and schedules of a user: what works, and in which words the others are refused."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import callbacks as lightning_callbacks
from test_lightning_engine import norm, own, own_networks  # noqa: F401 - fixtures
from test_loop import equal

from hemexp.config import CustomLossConfig, CustomOptimizerConfig, CustomSchedulerConfig
from hemexp.data.datamodule import EpochOrder, MiniBatches, find_smallest_batch
from hemexp.data.training_set import build_training_set
from hemexp.errors import Interrupted, UserError
from hemexp.models.network import FittedNetwork
from hemexp.training import lightning_engine
from hemexp.training.fit import fit
from hemexp.training.member import Member

LIGHTNING = "lightning.pytorch.callbacks."
WORKS: dict[str, dict[str, Any]] = {
    "Callback": {},
    "Checkpoint": {},
    "DeviceStatsMonitor": {},
    "EarlyStopping": {"monitor": "val/loss"},
    "GradientAccumulationScheduler": {"scheduling": {2: 2}},
    "LambdaCallback": {},
    "LearningRateMonitor": {},
    "ModelCheckpoint": {"monitor": "val/loss"},
    "ModelSummary": {},
    "RichModelSummary": {},
    "ThroughputMonitor": {"batch_size_fn": {"_target_": "own_networks.batch_length", "_partial_": True}},
    "Timer": {"duration": "00:00:10:00"},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "BackboneFinetuning": ({}, "pl_module.network.net"),
    "BaseFinetuning": ({}, "callbacks.one: NotImplementedError"),
    "BasePredictionWriter": ({"write_interval": "epoch"}, "use predict.py"),
    "BatchSizeFinder": ({}, "give trainer.batch_size"),
    "EMAWeightAveraging": ({}, "averages weights"),
    "LearningRateFinder": ({}, "sweep optimizer.lr"),
    "ModelPruning": ({"pruning_fn": "l1_unstructured"}, "changes the names of the weights"),
    "OnExceptionCheckpoint": ({"dirpath": "."}, "the same command resumes"),
    "ProgressBar": ({}, "trainer.progress_bar"),
    "RichProgressBar": ({}, "trainer.progress_bar"),
    "SpikeDetection": ({}, "cannot be resumed"),
    "StochasticWeightAveraging": ({"swa_lrs": 0.01}, "averages weights"),
    "TQDMProgressBar": ({}, "trainer.progress_bar"),
    "WeightAveraging": ({}, "averages weights"),
}


def with_callback(member: Member, target: str, **arguments: Any) -> Member:
    return replace(member, callbacks={"one": {"_target_": target, **arguments}})


def without_validation(fold: Any, count: int = 40) -> Any:
    return build_training_set(fold.inputs, fold.labels, range(count))


def interrupt_after(monkeypatch: pytest.MonkeyPatch, num_epochs: int) -> None:
    """Stop the training, as Ctrl-C does, after the state of so many epochs was saved."""
    save = lightning_engine.Trainer.save_checkpoint

    def stop(trainer: Any, path: Any, *options: Any, **named: Any) -> None:
        save(trainer, path, *options, **named)
        if trainer.current_epoch + 1 == num_epochs and Path(path).name == "last.ckpt":
            raise KeyboardInterrupt

    monkeypatch.setattr(lightning_engine.Trainer, "save_checkpoint", stop)


def test_the_tables_hold_all_callbacks_of_lightning():
    assert sorted([*WORKS, *REFUSED]) == sorted(lightning_callbacks.__all__)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")
@pytest.mark.filterwarnings("ignore:.*you need to define a `flops_per_batch`:UserWarning")
@pytest.mark.parametrize("name", WORKS)
def test_a_callback_of_lightning_works_also_without_a_logger_and_in_a_resumed_training(
    name: str, folds: list[Any], trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    member, cfg = with_callback(own(folds), LIGHTNING + name, **WORKS[name]), trainer(max_epochs=4, checkpoint_every=1)
    monkeypatch.chdir(tmp_path)
    (whole,) = fit([member], cfg, directory=tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(Interrupted):
            fit([member], cfg, directory=tmp_path / "cut")
    (resumed,) = fit([member], cfg, directory=tmp_path / "cut")
    assert whole.epochs == 4
    assert equal(whole, resumed)
    assert whole.predictor().predict(folds[0].val_inputs).shape == (10,)


@pytest.mark.parametrize("name", REFUSED)
def test_a_callback_of_lightning_that_cannot_work_is_refused_with_the_reason(
    name: str, folds: list[Any], trainer: Callable
):
    arguments, reason = REFUSED[name]
    with pytest.raises(UserError, match=r"callbacks\.one") as error:
        fit([with_callback(own(folds), LIGHTNING + name, **arguments)], trainer())
    assert reason in str(error.value)


def test_a_network_that_draws_from_numpy_is_the_same_in_every_call_and_after_a_resume(
    folds: list[Any], trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    member, cfg = own(folds, "Noisy"), trainer(checkpoint_every=1)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - the generator of users' code
    (whole,) = fit([member], cfg)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002 - the generator of users' code
    np.random.random(7)  # noqa: NPY002 - the generator of users' code
    random.random()
    assert equal(fit([member], cfg)[0], whole)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted):
            fit([member], cfg, directory=tmp_path)
    np.random.random(7)  # noqa: NPY002 - the generator of users' code
    assert equal(fit([member], cfg, directory=tmp_path)[0], whole)


def test_the_estimate_of_the_time_calls_no_callback(folds: list[Any], trainer: Callable):
    member = with_callback(own(folds), "own_networks.Broken")
    assert lightning_engine.estimate_seconds(member, trainer()) > 0


def test_a_network_without_weights_to_train_is_refused(folds: list[Any], trainer: Callable):
    with pytest.raises(UserError, match=r"own_networks\.Frozen: has no weights to train"):
        fit([own(folds, "Frozen")], trainer())


def test_a_resumed_early_stopping_ends_at_the_same_epoch(
    folds: list[Any], trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stopping = {"monitor": "train/loss", "min_delta": 10.0, "patience": 5}  # never lower: it waits five epochs
    member, cfg = with_callback(own(folds), f"{LIGHTNING}EarlyStopping", **stopping), trainer(checkpoint_every=1)
    (whole,) = fit([member], cfg)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted):
            fit([member], cfg, directory=tmp_path)
    (resumed,) = fit([member], cfg, directory=tmp_path)
    assert (whole.epochs, whole.stopped_by) == (resumed.epochs, resumed.stopped_by) == (6, "callback")


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (
            "Keeping",
            {"kind": "array"},
            r"callbacks\.one: state\.seen\.0 is numpy\.ndarray, which a checkpoint cannot hold",
        ),
        ("Keeping", {"kind": "object"}, r"callbacks\.one: state\.seen\.0 is own_networks\.Keeping"),
        ("Keeping", {"kind": "function"}, r"callbacks\.one: state\.seen\.0 is builtins\.function"),
        ("Adding", {}, r"on_save_checkpoint of a callback: checkpoint\['mine'\]\.sizes is numpy\.float64"),
        ("Broken", {}, "callbacks.one: KeyError: 'ink'"),
    ],
)
def test_a_callback_that_fails_or_cannot_be_saved_is_named_after_one_epoch(
    target: str, arguments: dict[str, Any], message: str, folds: list[Any], trainer: Callable, tmp_path: Path
):
    epochs = []
    with pytest.raises(UserError, match=message):
        lightning_engine.fit_network(
            [with_callback(own(folds), f"own_networks.{target}", **arguments)],
            trainer(),
            checkpoint=tmp_path / "last.ckpt",
            report=lambda trained, skipped, loss: epochs.append(trained),
        )
    assert sum(epochs) <= 1
    assert not list(tmp_path.iterdir())
    fit([with_callback(own(folds), "own_networks.Keeping", kind="tensor")], trainer(), directory=tmp_path)


def test_an_optimizer_that_calls_its_closure_several_times_has_the_loss_before_each_step(
    folds: list[Any], trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = replace(own(folds), training_set=without_validation(folds[0]))
    lbfgs = CustomOptimizerConfig(0.1, 0.0, "custom", "torch.optim.LBFGS", {"max_iter": 5})
    member, cfg = replace(plain, optimizer=lbfgs), trainer(max_epochs=6, checkpoint_every=1)
    (adam,), (result,) = fit([plain], trainer(max_epochs=1)), fit([member], cfg, directory=tmp_path / "whole")
    losses = result.history["train/loss"]
    assert losses[0] == adam.history["train/loss"][0]  # of the same first weights
    assert losses.is_monotonic_decreasing
    net, data = FittedNetwork.from_content(result.content), member.training_set
    with torch.no_grad():
        logits = net(torch.tensor(data.inputs, dtype=torch.float32))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(data.labels))
    assert float(loss) == pytest.approx(result.best_loss, rel=1e-6)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted):
            fit([member], cfg, directory=tmp_path / "cut")
    assert equal(result, fit([member], cfg, directory=tmp_path / "cut")[0])


def test_a_loss_may_be_a_class_with_arguments_and_weights(folds: list[Any], trainer: Callable):
    entropy = CustomLossConfig("custom", "torch.nn.CrossEntropyLoss")
    tuned = CustomLossConfig("custom", "own_networks.TunedEntropy", {"scale": 1.0})
    (plain,), (ready,), (own_class,) = (
        fit([replace(own(folds), **changes)], trainer(precision=64))
        for changes in ({}, {"loss": entropy}, {"loss": tuned})
    )
    assert np.allclose(plain.history, ready.history, atol=1e-12)
    first, second = (result.history["train/loss"] for result in (plain, own_class))
    assert first[0] == pytest.approx(second[0])
    assert first[11] != second[11]  # its temperature is trained
    assert [name for name in own_class.content["state_dict"] if "temperature" in name] == []


def test_a_loss_or_a_schedule_that_fails_later_is_named(folds: list[Any], trainer: Callable):
    with pytest.raises(UserError, match=r"loss\.target=own_networks\.late: IndexError: more than four"):
        fit([replace(own(folds), loss=CustomLossConfig("custom", "own_networks.late"))], trainer())
    cycle = CustomSchedulerConfig("custom", "torch.optim.lr_scheduler.OneCycleLR", {"max_lr": 0.1, "total_steps": 5})
    with pytest.raises(UserError, match=r"scheduler\.target=.*OneCycleLR: ValueError: Tried to step 6 times"):
        fit([replace(own(folds), scheduler=cycle)], trainer())


@pytest.mark.parametrize(("num_patients", "size", "sizes"), [
    (7, 3, [3, 4]), (8, 3, [3, 3, 2]), (6, 3, [3, 3]), (4, 3, [4]), (3, 3, [3]), (1, 3, [1]), (3, 1, [1, 1, 1]),
    (2, 1, [1, 1]),
])  # fmt: skip
def test_a_last_mini_batch_of_one_patient_joins_the_batch_before(num_patients: int, size: int, sizes: list[int]):
    batches = MiniBatches(EpochOrder(num_patients, 0), size, drop_last=False)
    found = list(batches)
    assert [len(batch) for batch in found] == sizes
    assert len(batches) == len(sizes)
    assert sorted(number for batch in found for number in batch) == list(range(num_patients))
    assert find_smallest_batch(num_patients, size) <= min(sizes)


def test_batch_norm_takes_every_batch_size_above_one(folds: list[Any], trainer: Callable):
    for size in (13, 39):  # of 40 patients: one is left over
        (result,) = fit([norm(folds)], trainer(max_epochs=2, batch_size=size))
        assert np.isfinite(result.best_loss)
    rule = r"model=own_norm: fails in training on a mini-batch of 1 patient .* give trainer\.batch_size=2 or more"
    with pytest.raises(UserError, match=rule):
        fit([norm(folds)], trainer(batch_size=1))
    fit([own(folds)], trainer(max_epochs=1, batch_size=1))  # without batch norm
