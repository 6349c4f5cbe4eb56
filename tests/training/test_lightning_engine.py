"""The ordinary engine agrees with the batched one, trains any network, and keeps Lightning's habits."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logit
from test_loop import Make, equal

from hemexp.config import (
    CustomConfig,
    CustomLossConfig,
    CustomOptimizerConfig,
    CustomSchedulerConfig,
    OptimizerConfig,
    TrainConfig,
)
from hemexp.config.compose import load_config
from hemexp.config.plugins import import_plugins
from hemexp.errors import Interrupted, UserError
from hemexp.training.fit import check_member, fit
from hemexp.training.member import FitResult, Member


@pytest.fixture(autouse=True)
def own_networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import_plugins(["own_networks"])
    yield sys.modules["own_networks"]
    sys.modules["own_networks"].StopAfter.seen = []


def own(folds: list[Any], target: str = "Linear", seed: int = 0, **args: Any) -> Member:
    model = CustomConfig("custom", f"own_networks.{target}", args)
    return Member(model, OptimizerConfig(0.01), folds[0], seed, keep_last=True)


def norm(folds: list[Any], seed: int = 0) -> Member:
    from hemexp.config import MODELS

    return Member(MODELS["own_norm"].schema("own_norm"), OptimizerConfig(0.01), folds[seed % 5], seed, keep_last=True)


def distance(a: FitResult, b: FitResult) -> float:
    """Return the largest difference of two results: losses, best weights, last weights."""
    pairs = [(a.content["state_dict"], b.content["state_dict"]), (a.last["state_dict"], b.last["state_dict"])]
    parts = [float((one[key] - two[key]).abs().max()) for one, two in pairs for key in one if key != "inputs.clip"]
    return max(
        [*parts, *(float((a.history[name] - b.history[name]).abs().max()) for name in a.history if "loss" in name)]
    )


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("model", ["sacnn", "cnn", "attention", "mlp"])
def test_the_engines_agree_in_64_bits_over_100_epochs(model: str, validation: bool, members: Make, trainer: Callable):
    (member,) = members(range(1), model=model, validation=validation)
    member = replace(member, keep_last=True)
    cfg = trainer(max_epochs=100, precision=64)
    (batched,), (ordinary,) = fit([member], cfg), fit([replace(member, engine="lightning")], cfg)
    assert batched.best_epoch == ordinary.best_epoch
    assert batched.history.columns.tolist() == ordinary.history.columns.tolist()
    assert distance(batched, ordinary) < 1e-8
    assert np.allclose(batched.history, ordinary.history, atol=1e-6)  # accuracies have 32 bits


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=adamw", "scheduler=cosine", "loss=weighted"],
        ["optimizer=sgd", "optimizer.nesterov=true", "scheduler=step", "scheduler.every=7", "loss=focal"],
        ["optimizer=sgd", "scheduler=warmup_cosine", "loss=label_smoothing", "trainer.gradient_clip_val=0.05"],
        ["optimizer.lr=0.03", "scheduler=plateau", "scheduler.patience=2", "scheduler.threshold=0.1"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
@pytest.mark.parametrize("validation", [False, True])
def test_the_engines_agree_for_every_kind_of_optimizer_schedule_and_loss(
    overrides: list[str], validation: bool, members: Make, trainer: Callable
):
    (member,), cfg = members([0], model="cnn", validation=validation), load_config(TrainConfig, overrides)
    chosen = {"optimizer": cfg.optimizer, "scheduler": cfg.scheduler, "loss": cfg.loss, "keep_last": True}
    member, trained = replace(member, **chosen), trainer(max_epochs=60, precision=64)
    trained = replace(trained, gradient_clip_val=cfg.trainer.gradient_clip_val)
    (batched,), (ordinary,) = fit([member], trained), fit([replace(member, engine="lightning")], trained)
    assert batched.history.columns.tolist() == ordinary.history.columns.tolist()
    assert distance(batched, ordinary) < 1e-8
    if cfg.scheduler.name != "none":
        assert batched.history["lr"].nunique() > 1
        assert np.allclose(batched.history["lr"], ordinary.history["lr"], rtol=1e-12)


@pytest.mark.parametrize(
    ("section", "custom"),
    [
        ("optimizer", CustomOptimizerConfig(0.01, 0.0, "custom", "torch.optim.Adam", {"eps": 1e-8})),
        ("loss", CustomLossConfig("custom", "own_networks.cross_entropy")),
        ("scheduler", CustomSchedulerConfig("custom", "torch.optim.lr_scheduler.StepLR", {"step_size": 1000})),
    ],
    ids=["optimizer", "loss", "scheduler"],
)
def test_an_optimizer_a_loss_and_a_schedule_may_come_from_outside(
    section: str, custom: Any, folds: list[Any], trainer: Callable
):
    (plain,), (other,) = fit([own(folds)], trainer()), fit([replace(own(folds), **{section: custom})], trainer())
    assert torch.equal(plain.content["state_dict"]["net.layer.weight"], other.content["state_dict"]["net.layer.weight"])


@pytest.mark.parametrize("changes", [{"stop_loss": 0.6}, {"patience": 3}], ids=["stop_loss", "patience"])
def test_the_engines_stop_at_the_same_epoch_for_the_same_reason(
    changes: dict[str, Any], members: Make, trainer: Callable
):
    (member,) = members([2], model="mlp")
    cfg = trainer(max_epochs=200, precision=64, **changes)
    (batched,), (ordinary,) = fit([member], cfg), fit([replace(member, engine="lightning")], cfg)
    assert batched.epochs == ordinary.epochs < 200
    assert batched.stopped_by == ordinary.stopped_by == next(iter(changes))


def test_a_training_that_was_interrupted_continues_with_the_same_bits(
    folds: list[Any], trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With mini-batches, dropout and batch norm."""
    from hemexp.training import lightning_engine

    cfg, member = trainer(max_epochs=9, batch_size=16, checkpoint_every=1), norm(folds)
    (whole,) = fit([member], cfg, directory=tmp_path / "whole")
    save = lightning_engine.Trainer.save_checkpoint

    def stop_after_four(trainer: Any, path: Path, **options: Any) -> None:
        save(trainer, path, **options)
        if trainer.current_epoch == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lightning_engine.Trainer, "save_checkpoint", stop_after_four)
        with pytest.raises((KeyboardInterrupt, Interrupted)):
            fit([member], cfg, directory=tmp_path / "cut")
    torch.manual_seed(99)  # the state of the caller's generator must not matter
    (resumed,) = fit([member], cfg, directory=tmp_path / "cut")
    (again,) = fit([member], cfg, directory=tmp_path / "cut")  # it has ended; nothing is trained
    assert equal(whole, resumed)
    assert equal(whole, again)


def test_a_state_of_another_member_is_refused(folds: list[Any], trainer: Callable, tmp_path: Path):
    fit([own(folds)], trainer(max_epochs=2), directory=tmp_path)
    with pytest.raises(UserError, match="is of another member or settings"):
        fit([own(folds, seed=1)], trainer(max_epochs=2), directory=tmp_path)


def test_many_members_are_trained_alone_over_the_cores_with_the_time_said_before(
    folds: list[Any], members: Make, trainer: Callable, caplog: pytest.LogCaptureFixture
):
    cfg, state = trainer(max_epochs=3), torch.random.get_rng_state()
    group = [norm(folds, seed) for seed in range(4)]
    with caplog.at_level("INFO"):
        results = fit([*members([0]), *group], cfg, num_workers=2)
    assert "4 networks, each trained alone: about" in caplog.text
    for member, result in zip(group, results[1:], strict=True):
        assert equal(fit([member], cfg)[0], result)
    assert equal(fit(members([0]), cfg)[0], results[0])
    assert torch.equal(state, torch.random.get_rng_state())


def test_one_logit_is_the_logit_of_expansion(folds: list[Any], trainer: Callable):
    (column,) = fit([own(folds)], trainer())
    (flat,) = fit([own(folds, "Squeezed")], trainer())
    assert column.history.equals(flat.history)
    net, raw = column.predictor(), np.vstack([folds[0].val_inputs, np.full((1, 11), np.nan)])
    expected = net.net(net.inputs(torch.tensor(raw, dtype=torch.float32))).detach().numpy()[:, 0]
    assert logit(net.predict(raw)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("target", "args", "message"),
    [
        ("Mixing", {}, ": the result for a patient depends on the other patients"),
        (
            "Linear",
            {"outputs": 3},
            r": returned \(4, 3\) for 4 patients; rule: \(B, 2\), \(B, 1\) or \(B,\)",
        ),
        ("Failing", {}, ": IndexError: the shelf is empty"),
        ("FailingLater", {}, ": IndexError: the shelf is empty"),
        ("Leaving", {}, ": ended the program by SystemExit: 0"),
        ("LeavingLater", {}, " engine=lightning: ended the program by SystemExit: 0"),
        ("Task", {}, ": Task is a LightningModule with its own training_step"),
        ("Plain", {}, ": its checkpoint does not hold all weights"),
        ("Masked", {}, r": net\.mask: is not a tensor of finite numbers"),
        ("build", {}, ": build returned str; rule: a torch.nn.Module"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_with_its_own_error(
    target: str, args: dict[str, Any], message: str, folds: list[Any], trainer: Callable
):
    with pytest.raises(UserError, match=rf"^model\.target=own_networks\.{target}{message}"):
        fit([own(folds, target, **args)], trainer())


def test_an_error_in_a_network_names_the_line_of_the_file(folds: list[Any], trainer: Callable):
    with pytest.raises(UserError, match=r"the shelf is empty \(own_networks\.py line \d+, in forward\)"):
        check_member(own(folds, "Failing"), trainer())


def test_a_network_that_returns_probabilities_costs_a_warning(
    folds: list[Any], trainer: Callable, caplog: pytest.LogCaptureFixture
):
    for target in ("Sigmoid", "Softmax"):
        check_member(own(folds, target), trainer())
        assert f"own_networks.{target}: seems to return probabilities" in caplog.text
    caplog.clear()
    for target in ("Linear", "Squeezed"):
        check_member(own(folds, target), trainer())
    assert not caplog.text


def test_callbacks_see_epochs_and_steps_and_may_stop_the_training(
    folds: list[Any], trainer: Callable, own_networks: Any
):
    member = replace(own(folds), callbacks={"stop": {"_target_": "own_networks.StopAfter", "epochs": 4}})
    (result,) = fit([member], trainer(batch_size=16, lightning={"accumulate_grad_batches": 3}))
    assert (result.epochs, result.stopped_by) == (4, "callback")
    assert own_networks.StopAfter.seen == [(epoch, epoch + 1) for epoch in range(4)]  # 3 batches, one step


def test_a_training_without_a_loss_is_refused(folds: list[Any], trainer: Callable):
    with pytest.raises(UserError, match=r"val/loss: no epoch had one; see trainer\.lightning and callbacks"):
        fit([own(folds)], trainer(lightning={"limit_val_batches": 0}))


def test_patience_waits_for_the_epochs_that_have_a_validation(folds: list[Any], trainer: Callable):
    (result,) = fit([own(folds)], trainer(patience=2, lightning={"check_val_every_n_epoch": 4}))
    assert result.epochs >= 4


def test_arguments_of_the_trainer_take_effect(folds: list[Any], trainer: Callable):
    (quick,) = fit([own(folds)], trainer(lightning={"fast_dev_run": True}))
    (few,) = fit([own(folds)], trainer(lightning={"max_steps": 5}))
    (coarse,) = fit([own(folds)], trainer(max_epochs=4, lightning={"check_val_every_n_epoch": 2}))
    (half,) = fit([own(folds)], trainer(lightning={"precision": "bf16-mixed"}))
    assert (quick.epochs, few.epochs, half.epochs) == (1, 5, 12)
    assert coarse.history["val/loss"].isna().tolist() == [True, False, True, False]
    assert half.best_loss == pytest.approx(fit([own(folds)], trainer())[0].best_loss, rel=0.01)


def test_a_plugin_is_needed_to_read_a_checkpoint_of_a_network_from_outside(folds: list[Any], trainer: Callable):
    from hemexp.config import plugins
    from hemexp.models.predictor import build_predictor

    (result,) = fit([own(folds)], trainer(max_epochs=2))
    assert result.content["requires"] == "own_networks.Linear"
    trusted, plugins._trusted = plugins._trusted, set()
    entries = {name: entry for name, entry in plugins.MODELS.items() if not entry.plugin}
    known = dict(plugins.MODELS)
    try:
        plugins.MODELS.clear()
        plugins.MODELS.update(entries)
        with pytest.raises(UserError, match=r"needs own_networks\.Linear, .* add plugins=\[own_networks\]"):
            build_predictor(result.content)
    finally:
        plugins.MODELS.update(known)
        plugins._trusted = trusted
    assert build_predictor(result.content).predict(folds[0].val_inputs).shape == (10,)
