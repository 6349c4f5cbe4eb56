"""Tests on a real GPU. They are skipped without one; test_gpu_path.py tests the same code without a GPU."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_lightning_engine
import torch
from small import QUIET
from test_gpu_path import ALGORITHMS, SETTINGS, change, close
from test_loop import Make, equal, paper_member

from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import PredictConfig, TrainConfig, TrainerConfig
from hemexp.config.compose import load_config
from hemexp.errors import Interrupted
from hemexp.training import fit as fit_module
from hemexp.training.fit import fit
from hemexp.training.loop import fit_group
from hemexp.training.recorder import Recorder
from hemexp.training.task import ExpansionTask

GPU = "gpu"
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
]


@pytest.fixture
def trainer(trainer: Callable[..., TrainerConfig]) -> Callable[..., TrainerConfig]:
    """Make the configuration of a trainer on the GPU, with some keys changed."""
    return lambda **changes: trainer(**{"accelerator": GPU, **changes})


own_networks = test_lightning_engine.own_networks
for name in (  # on the GPU, because they take the `trainer` above
    "test_the_engines_agree_in_64_bits_over_100_epochs",
    "test_the_engines_agree_for_every_kind_of_optimizer_schedule_and_loss",
    "test_a_training_that_was_interrupted_continues_with_the_same_bits",
):
    globals()[f"{name}_with_engine_lightning"] = getattr(test_lightning_engine, name)


@pytest.mark.parametrize("setting", SETTINGS)
def test_50_epochs_on_the_gpu_equal_those_on_the_cpu(setting: str, members: Make, trainer: Callable):
    """In 64 bits, within 1e-8."""
    model, overrides, changes, validation, _ = SETTINGS[setting]
    group = members(range(6), *overrides, model=model, validation=validation)
    cfg = trainer(**{**changes, "max_epochs": 50, "precision": 64})
    gpu, cpu = fit_group(group, cfg), fit_group(group, replace(cfg, accelerator="cpu"))
    assert all(close(ours, expected) for ours, expected in zip(gpu, cpu, strict=True))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_optimizer_on_the_gpu_equals_that_on_the_cpu(algorithm: str, members: Make, trainer: Callable):
    """In 64 bits, within 1e-8. Losses of 1e-18 follow, so that rounding would decide which epoch is the best."""
    group = [replace(member, keep_last=True) for member in change(members(range(6), model="mlp"), algorithm)]
    cfg = trainer(max_epochs=20, precision=64, gradient_clip_val=0.1)
    for gpu, cpu in zip(fit_group(group, cfg), fit_group(group, replace(cfg, accelerator="cpu")), strict=True):
        np.testing.assert_allclose(gpu.history, cpu.history, rtol=0, atol=1e-8)
        for name, weights in cpu.last["state_dict"].items():
            torch.testing.assert_close(gpu.last["state_dict"][name], weights, rtol=0, atol=1e-8)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_member_alone_equals_the_member_in_a_group(setting: str, members: Make, trainer: Callable):
    """In 64 bits, within 1e-8. The last bits depend on the size of the group, because cuBLAS chooses by it."""
    model, overrides, changes, validation, _ = SETTINGS[setting]
    group = members(range(64), *overrides, model=model, validation=validation)
    cfg = trainer(**{**changes, "max_epochs": 50, "precision": 64})
    (alone,) = fit_group(group[:1], cfg)
    assert all(close(fit_group(group[:size], cfg)[0], alone) for size in (2, 8, 64))


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_same_seed_gives_the_same_bits_again(setting: str, members: Make, trainer: Callable):
    """Of a group that shrinks, although the chunks of epochs depend on the time."""
    model, overrides, changes, validation, _ = SETTINGS[setting]
    group = members(range(9), *overrides, model=model, validation=validation)
    cfg = trainer(**{**changes, "max_epochs": 120, "stop_loss": 0.2})
    assert all(equal(one, again) for one, again in zip(fit_group(group, cfg), fit_group(group, cfg), strict=True))


@pytest.mark.parametrize("setting", ["full batch", "mini-batches, dropout, validation"])
def test_a_training_that_was_interrupted_continues_with_the_same_bits(
    setting: str, members: Make, trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The interruptions come before and after the group has shrunk."""
    model, overrides, changes, validation, _ = SETTINGS[setting]
    group = members(range(7), *overrides, model=model, validation=validation)
    cfg = trainer(**{**changes, "max_epochs": 150, "stop_loss": 0.3, "patience": None})
    whole, original = fit_group(group, cfg), Recorder.on_train_epoch_end
    for after in (5, 60, 110):

        def interrupt(self: Recorder, *args: Any, after: int = after) -> None:
            self.stop.value = self.task.epoch >= after
            original(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "on_train_epoch_end", interrupt)
            with pytest.raises(Interrupted):
                fit_group(group, cfg, checkpoint=tmp_path / "last.ckpt")
    resumed = fit_group(group, cfg, checkpoint=tmp_path / "last.ckpt")
    assert all(equal(one, again) for one, again in zip(whole, resumed, strict=True))


@pytest.mark.parametrize("algorithm", [None, *ALGORITHMS])
@pytest.mark.parametrize("setting", SETTINGS)
def test_an_epoch_never_waits_for_the_gpu(
    setting: str, algorithm: str | None, members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    model, overrides, changes, validation, _ = SETTINGS[setting]
    group = members(range(6), *overrides, model=model, validation=validation)
    refuse_to_wait(monkeypatch)
    fit_group(change(group, algorithm) if algorithm else group, trainer(**changes, gradient_clip_val=0.1))


def test_the_test_notices_a_wait(members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch):
    original = ExpansionTask._stop_members
    refuse_to_wait(monkeypatch)
    monkeypatch.setattr(ExpansionTask, "_stop_members", lambda self, *args: original(self, *args) or bool(args[1][0]))
    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        fit_group(members([0]), trainer())


def refuse_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch raise an error for whatever waits for the GPU within an epoch."""
    original = ExpansionTask._train_epoch

    def train_epoch(self: ExpansionTask, *args: Any) -> dict[str, torch.Tensor]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            return original(self, *args)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(ExpansionTask, "_train_epoch", train_epoch)


def test_a_group_that_does_not_fit_into_the_memory_is_trained_in_halves(
    trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    group = [replace(paper_member(), seed=seed) for seed in range(32)]
    cfg, sizes = trainer(max_epochs=5, precision=64), []
    torch.cuda.reset_peak_memory_stats()
    whole, peak = fit(group, cfg, group_size=32), torch.cuda.max_memory_allocated()
    before = torch.cuda.memory_allocated()

    def note_size(members: list[Any], *args: Any, **options: Any) -> list[Any]:
        sizes.append(len(members))
        return fit_group(members, *args, **options)

    monkeypatch.setattr(fit_module, "fit_group", note_size)
    torch.cuda.set_per_process_memory_fraction(0.75 * peak / torch.cuda.get_device_properties(0).total_memory)
    try:
        parts = fit(group, cfg, group_size=32)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert sizes[:2] == [32, 16]
    assert torch.cuda.memory_allocated() <= before
    assert all(close(ours, expected) for ours, expected in zip(parts, whole, strict=True))


def test_attention_over_more_than_65535_patients_of_members(members: Make, trainer: Callable):
    group = members(range(1400), "model.embedding=per_feature", model="attention", validation=False)
    cfg = trainer(max_epochs=10)
    together = fit_group(group, cfg)
    for number in (0, 1399):  # of 48 rows of patients each
        (alone,) = fit_group([group[number]], cfg)
        np.testing.assert_allclose(alone.history, together[number].history, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("undrawn")
def test_a_run_trained_on_the_gpu_predicts_on_the_cpu(workbooks: Path, tmp_path: Path):
    """The risks are those of the same run trained on the CPU, in 64 bits."""
    options = [*QUIET, f"data.root={workbooks}", "trainer.max_epochs=20", "trainer.precision=64"]
    for name in (GPU, "cpu"):
        train(load_config(TrainConfig, [*options, f"trainer.accelerator={name}"]), tmp_path / name)
    risks = []
    for name in (GPU, "cpu"):
        result = predict(
            load_config(PredictConfig, [f"run_dir={tmp_path / name}", f"data.root={workbooks}"]),
            tmp_path / f"new {name}",
        )
        risks.append([score.value for score in result.metrics.values()])
    np.testing.assert_allclose(*risks, rtol=0, atol=1e-8)
