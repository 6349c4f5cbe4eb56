"""Members trained together give the same results as members trained alone."""

import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_accuracy

from hemexp.config import OptimizerConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import Interrupted, UserError
from hemexp.models.network import FittedNetwork
from hemexp.models.registry import build_network
from hemexp.training.checkpoint import members_key
from hemexp.training.fit import fit, get_shape
from hemexp.training.loop import fit_group
from hemexp.training.loss import auroc
from hemexp.training.member import FitResult, Member
from hemexp.training.patient_batch import build_input_layer
from hemexp.training.recorder import Recorder
from hemexp.training.task import ExpansionTask, GroupBatches

Make = Callable[..., list[Member]]


def equal(a: FitResult, b: FitResult) -> bool:
    """Whether two results have the same bits: best weights, scores and reason to stop."""
    states = a.content["state_dict"], b.content["state_dict"]
    ends = [(result.epochs, result.best_epoch, result.best_loss, result.stopped_by) for result in (a, b)]
    return (
        states[0].keys() == states[1].keys()
        and all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        and a.history.equals(b.history)
        and ends[0] == ends[1]
    )


SETTINGS = {
    "full batch": ("sacnn", (), {}),
    "mini-batches and dropout": ("sacnn", ("model.dropout=0.3",), {"batch_size": 16}),
    "per_feature": ("sacnn", ("model.embedding=per_feature",), {}),
    "cnn": ("cnn", (), {}),
    "attention": ("attention", (), {}),
    "mlp": ("mlp", (), {}),
    "64 bits": ("sacnn", (), {"precision": 64}),
    "sizes of one": (
        "sacnn",
        ("model.channels=[1,5]", "model.num_heads=1", "model.embed_dim=1", "model.hidden_dim=1"),
        {},
    ),
}


_QUICK = ("full batch", "mini-batches and dropout")


@pytest.mark.parametrize(
    "setting", [*_QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS if name not in _QUICK)]
)
def test_a_member_has_the_same_bits_alone_and_in_a_group(setting: str, members: Make, trainer: Callable):
    model, overrides, changes = SETTINGS[setting]
    cfg = trainer(max_epochs=6, **changes)
    group = fit_group(members(range(33), *overrides, model=model), cfg)
    for which in ([0], [7], [32], [7, 0], [32, 1, 7], list(range(8))):
        alone = fit_group(members(which, *overrides, model=model), cfg)
        assert [equal(result, group[number]) for number, result in zip(which, alone, strict=True)] == [True] * len(
            which
        ), which


@pytest.mark.slow
@pytest.mark.parametrize("precision", [32, 64])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_papers_network_has_the_same_bits_in_any_group(precision: int, num_threads: int, trainer: Callable):
    """At full size, on one thread and on two. BLAS sums a single member on two threads differently, so take two."""
    member = paper_member()
    cfg = trainer(precision=precision, max_epochs=20)
    others = fit_group([replace(member, seed=seed) for seed in range(33)], cfg)
    threads = replace(cfg, num_threads=num_threads)
    for which in ([0], [32], [1, 31], [0, 7, 32], list(range(8))):
        if len(which) >= num_threads:
            group = fit_group([replace(member, seed=seed) for seed in which], threads)
            assert all(equal(result, others[seed]) for seed, result in zip(which, group, strict=True)), which


def paper_member() -> Member:
    """Return the paper's network on the paper's split of a synthetic cohort."""
    from hemexp.data.datamodule import ExpansionDataModule

    cfg = load_config(TrainConfig)
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return Member(cfg.model, cfg.optimizer, data.training_set)


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("sacnn", ()),
        pytest.param("sacnn", ("model.embedding=per_feature",), marks=pytest.mark.slow),
        pytest.param("cnn", (), marks=pytest.mark.slow),
        pytest.param("attention", (), marks=pytest.mark.slow),
    ],
)
def test_100_epochs_equal_those_of_the_plain_network_with_torchs_adam(
    model: str, overrides: tuple[str, ...], members: Make, trainer: Callable
):
    """In 64 bits, logits and scores agree within 1e-8, and the best epoch is the same."""
    group = members(range(2), *overrides, model=model)
    for member, result in zip(group, fit_group(group, trainer(max_epochs=100, precision=64)), strict=True):
        fold = member.training_set
        torch.manual_seed(member.seed)
        net = build_network(11, **vars(member.model)).double()
        layer = build_input_layer(fold, torch.float64)
        inputs, labels = layer(torch.tensor(fold.inputs)), torch.tensor(fold.labels)
        validation, outcomes = layer(torch.tensor(fold.val_inputs)), torch.tensor(fold.val_labels)
        optimizer = torch.optim.Adam(net.parameters(), member.optimizer.lr, weight_decay=member.optimizer.weight_decay)
        curves, states = [], []
        for _ in range(100):
            loss = F.cross_entropy(net(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                logits = net(validation)
                risks = F.softmax(logits, 1)[:, 1]
                scores = F.cross_entropy(logits, outcomes), binary_accuracy(risks, outcomes)
                curves.append([float(loss), *map(float, scores), roc_auc_score(outcomes, logits[:, 1] - logits[:, 0])])
                states.append({name: value.clone() for name, value in net.state_dict().items()})
        expected = pd.DataFrame(curves, columns=["train/loss", "val/loss", "val/accuracy", "val/auroc"])
        pd.testing.assert_frame_equal(result.history[expected.columns], expected, rtol=0, atol=1e-8)
        assert result.best_epoch == expected["val/loss"].argmin()
        net.load_state_dict(states[result.best_epoch])
        ours = result.predictor()
        with torch.no_grad():
            torch.testing.assert_close(ours.net(validation), net(validation), rtol=0, atol=1e-8)


def test_a_diverging_member_does_not_change_the_others(members: Make, trainer: Callable):
    stable = members(range(3), validation=False)
    diverging = replace(stable[0], optimizer=OptimizerConfig(lr=1e30))
    results = fit_group([stable[0], diverging, stable[1], stable[2]], trainer(max_epochs=30))
    assert results[1].stopped_by == "diverged"
    assert results[1].epochs == len(results[1].history) < 30
    assert all(value.isfinite().all() for value in results[1].content["state_dict"].values())
    assert not results[1].history["train/loss"].iloc[-1] < np.inf
    alone = fit_group(stable, trainer(max_epochs=30))
    assert all(equal(a, b) for a, b in zip(alone, (results[0], *results[2:]), strict=True))


def test_a_member_that_stops_early_returns_its_best_weights(members: Make, trainer: Callable):
    """Members stop at different epochs and the group shrinks. Later epochs of the others do not change a result."""
    group = members(range(9), validation=False)
    cfg = trainer(max_epochs=300, stop_loss=0.1)
    results = fit_group(group, cfg)
    epochs = [result.epochs for result in results]
    assert len(set(epochs)) > 4
    assert {"stop_loss", "max_epochs"} >= {result.stopped_by for result in results}
    for member, result in zip(group, results, strict=True):
        losses = result.history["train/loss"]
        assert len(losses) == result.epochs
        assert result.best_epoch == losses.idxmin()
        if result.stopped_by == "stop_loss":
            assert (losses < 0.1).tolist() == [False] * (result.epochs - 1) + [True]
        with torch.no_grad():
            logits = result.predictor()(torch.tensor(member.training_set.inputs, dtype=torch.float32))
        assert float(F.cross_entropy(logits, torch.tensor(member.training_set.labels))) == pytest.approx(
            losses.min(), rel=1e-4
        )
    last = int(np.argmax(epochs))
    assert equal(fit_group([group[last]], cfg)[0], results[last])


def test_the_group_shrinks_when_half_of_its_members_are_done(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    sizes = []
    step = ExpansionTask.training_step

    def record_size(self, batch, batch_idx):
        assert len(batch["train"].inputs) == len(self.net.weights) == len(self.running)
        sizes.append(len(self.member_indices))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ExpansionTask, "training_step", record_size)
    results = fit_group(members(range(8), validation=False), trainer(max_epochs=300, stop_loss=0.1))
    assert len({result.epochs for result in results}) > 2
    assert sizes[0] == 8
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 4


def test_patience_counts_from_the_best_epoch_of_each_member(members: Make, trainer: Callable):
    results = fit_group(members(range(6)), trainer(max_epochs=200, patience=7))
    assert {result.stopped_by for result in results} == {"patience"}
    assert len({result.epochs for result in results}) > 2
    for result in results:
        assert result.epochs - 1 - result.best_epoch == 7
        assert result.best_epoch == result.history["val/loss"].idxmin()


def test_dropout_is_reproducible_and_differs_between_members(members: Make, trainer: Callable):
    cfg = trainer(max_epochs=6)
    dropped, repeated, without = (
        fit_group(members([0, 3], f"model.dropout={rate}", validation=False), cfg) for rate in (0.5, 0.5, 0.0)
    )
    assert equal(dropped[0], repeated[0])
    assert equal(dropped[1], repeated[1])
    assert dropped[0].history["train/loss"][0] != without[0].history["train/loss"][0]
    task = ExpansionTask(members([0, 3], "model.dropout=0.5"), cfg)
    masks = [task._draw_dropout(epoch, 48) for epoch in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0][0], masks[0][1])
    assert set(masks[0].flatten().tolist()) == {0.0, 2.0}
    assert (masks[0][:, :40] > 0).float().mean() == pytest.approx(0.5, abs=0.1)


def test_mini_batches_contain_every_patient_once_in_an_order_of_seed_and_epoch(members: Make, trainer: Callable):
    task = ExpansionTask(members([0, 5], validation=False), trainer(batch_size=12))
    (batch,) = GroupBatches(task)

    def order(epoch: int) -> list[list[tuple[float, ...]]]:
        steps = [step for step, _, _, _ in task._steps(epoch, batch["train"], None)]
        assert [step.num_real.tolist() for step in steps] == [[12, 12]] * 3 + [[4, 4]]
        return [[tuple(row.tolist()) for step in steps for row in step.inputs[m][step.real[m]]] for m in (0, 1)]

    patients = [tuple(row.tolist()) for row in batch["train"].inputs[0][batch["train"].real[0]]]
    first = order(0)
    assert first == order(0)
    assert first != order(1)
    assert first[0] != first[1]
    assert sorted(first[0]) == sorted(first[1]) == sorted(patients)


@pytest.mark.parametrize(
    ("overrides", "changes", "interruptions"),
    [
        ((), {"max_epochs": 300}, (5, 60, 180)),
        (("model.dropout=0.3",), {"max_epochs": 150, "batch_size": 16}, (5, 30, 60)),
    ],
)
def test_a_resumed_group_has_the_results_of_an_uninterrupted_one(
    overrides: tuple[str, ...],
    changes: dict[str, object],
    interruptions: tuple[int, ...],
    members: Make,
    trainer: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """The interruptions come before and after the group has shrunk."""
    group, cfg = members(range(7), *overrides, validation=False), trainer(stop_loss=0.3, **changes)
    whole = fit_group(group, cfg)
    assert len({result.epochs for result in whole}) > 2
    monkeypatch.setattr("hemexp.training.task._CHUNK_EPOCHS", 10)
    original = Recorder.on_train_epoch_end

    def ctrl_c(self, trainer, module):
        if after is not None and module.epoch >= after:
            self.stop.value = True
        original(self, trainer, module)

    monkeypatch.setattr(Recorder, "on_train_epoch_end", ctrl_c)
    sizes = []
    for after in (*interruptions, None):
        if after is None:
            results = fit_group(group, cfg, checkpoint=tmp_path / "last.ckpt")
        else:
            with pytest.raises(Interrupted, match="interrupted after epoch"):
                fit_group(group, cfg, checkpoint=tmp_path / "last.ckpt")
            sizes.append(len(torch.load(tmp_path / "last.ckpt", weights_only=True)["present"]))
    assert sizes[0] == 7 > sizes[-1]
    assert all(equal(a, b) for a, b in zip(whole, results, strict=True))
    monkeypatch.setattr(
        "hemexp.training.loop.Trainer", lambda **_: 1 / 0
    )  # all members are done, so no Trainer is needed
    assert all(
        equal(a, b) for a, b in zip(whole, fit_group(group, cfg, checkpoint=tmp_path / "last.ckpt"), strict=True)
    )


def test_a_checkpoint_of_other_members_or_settings_is_refused(members: Make, trainer: Callable, tmp_path: Path):
    cfg, path = trainer(max_epochs=2), tmp_path / "last.ckpt"
    fit_group(members([0]), cfg, checkpoint=path)
    fit_group(members([0]), replace(cfg, progress_bar=True, checkpoint_every=1), checkpoint=path)
    for group, other in (([1], cfg), ([0], replace(cfg, max_epochs=3))):
        with pytest.raises(UserError, match="other members or settings"):
            fit_group(members(group), other, checkpoint=path)


def test_the_checkpoint_of_a_member_loads_into_the_plain_network(members: Make, trainer: Callable, tmp_path: Path):
    for member in members(range(3), validation=False):
        (result,) = fit_group([member], trainer(max_epochs=3), checkpoint=tmp_path / f"{member.seed}.ckpt")
        (content,) = torch.load(tmp_path / f"{member.seed}.ckpt", weights_only=True)["networks"]
        raw = member.training_set.inputs
        for network in (result.content, content):
            net = FittedNetwork.from_content(network)
            plain = build_network(11, **vars(member.model))
            plain.load_state_dict({k[4:]: v for k, v in network["state_dict"].items() if k.startswith("net.")})
            scaled = net.inputs(torch.tensor(raw, dtype=torch.float32))
            np.testing.assert_allclose(torch.softmax(plain(scaled), 1)[:, 1].detach(), net.predict(raw), rtol=1e-6)


def test_progress_reports_cover_all_epochs(members: Make, trainer: Callable):
    reports: list[tuple[int, int, float]] = []
    results = fit_group(
        members(range(4), validation=False),
        trainer(max_epochs=150, stop_loss=0.2),
        report=lambda *report: reports.append(report),
    )
    assert sum(epochs for epochs, _, _ in reports) == sum(result.epochs for result in results)
    assert sum(epochs + skipped for epochs, skipped, _ in reports) == 4 * 150


def test_sigterm_stops_training_after_the_chunk(members: Make, trainer: Callable):
    """Without a checkpoint, too. The signal handlers are restored."""
    original = Recorder.on_train_epoch_end
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "on_train_epoch_end", lambda *a: (os.kill(os.getpid(), signal.SIGTERM), original(*a)))
        with pytest.raises(Interrupted, match=r"after epoch 1$"):
            fit(members([0]), trainer(max_epochs=10_000))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_members_of_one_shape_differ_only_in_seed_optimizer_and_patients(members: Make, trainer: Callable):
    (first,) = members([0])
    same = members([1, 2])
    twice = replace(first, training_set=replace(first.training_set, labels=np.tile(first.training_set.labels, 2)))
    others = [
        *members([0], "model.kernel_size=5"), *members([0], model="cnn"), *members([0], "model.dropout=0.1"),
        *members([0], validation=False), twice,
    ]  # fmt: skip
    assert {get_shape(member, trainer()) for member in same} == {get_shape(first, trainer())}
    assert len({get_shape(member, trainer()) for member in (first, *others)}) == len(others) + 1


def test_auroc_equals_that_of_scikit_learn(folds: list):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, size=(3, 2, 20)).astype(float)  # ties
    labels = rng.integers(0, 2, size=(2, 20))
    real = np.arange(20) < np.array([[20], [17]])
    result = auroc(*(torch.tensor(values) for values in (scores, labels, real)))
    for epoch in range(3):
        for member in range(2):
            rows = real[member]
            expected = roc_auc_score(labels[member][rows], scores[epoch, member][rows])
            assert float(result[epoch, member]) == pytest.approx(expected, abs=1e-12)
    assert auroc(torch.zeros(1, 1, 3), torch.ones(1, 3), torch.ones(1, 3, dtype=torch.bool)).isnan().all()


def test_members_with_folds_of_unequal_size_train_together(folds: list, members: Make, trainer: Callable):
    """Parts of different sizes are padded to the same size, which does not change any bits."""
    uneven = [
        replace(
            member,
            training_set=replace(
                member.training_set,
                inputs=member.training_set.inputs[: 40 - 2 * i],
                labels=member.training_set.labels[: 40 - 2 * i],
                val_inputs=member.training_set.val_inputs[: 10 - i],
                val_labels=member.training_set.val_labels[: 10 - i],
            ),
        )
        for i, member in enumerate(members(range(4), "model.dropout=0.2"))
    ]
    assert len({get_shape(member, trainer()) for member in uneven}) == 1
    together = fit_group(uneven, trainer())
    assert all(
        equal(fit_group([member], trainer())[0], result) for member, result in zip(uneven, together, strict=True)
    )
    assert len({get_shape(member, trainer(batch_size=8)) for member in uneven}) == 4


def test_loggers_get_the_history_of_a_single_member(members: Make, trainer: Callable, tmp_path: Path):
    logger = CSVLogger(tmp_path, name="", version="")
    board = TensorBoardLogger(tmp_path, name="", version="board")
    cfg = trainer(max_epochs=300, stop_loss=0.2)
    (result,) = fit(members([2]), cfg, loggers=[logger, board])
    assert result.stopped_by == "stop_loss"
    logger.save()
    board.save()
    logged = pd.read_csv(tmp_path / "metrics.csv").set_index("step")
    np.testing.assert_allclose(logged["train/loss"], result.history["train/loss"], rtol=1e-6)
    shown = EventAccumulator(str(tmp_path / "board"))
    shown.Reload()
    points = [(point.step, point.value) for point in shown.Scalars("val/auroc")]
    np.testing.assert_allclose(points, result.history[["epoch", "val/auroc"]], rtol=1e-6)


def test_the_key_of_members_depends_on_values_and_not_on_objects(members: Make, trainer: Callable):
    group = members(range(3))
    key = members_key(group, trainer())
    assert key == members_key(pickle.loads(pickle.dumps(group)), trainer(progress_bar=True))
    changed = replace(group[0].training_set, inputs=group[0].training_set.inputs + 1e-9)
    assert key != members_key([replace(group[0], training_set=changed), *group[1:]], trainer())


def test_fit_restores_threads_deterministic_mode_and_random_state(members: Make, trainer: Callable):
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    (result,) = fit(members([0]), trainer(max_epochs=1, num_threads=1 if threads > 1 else 2))
    result.predictor()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_workers": 0}, "num_workers=0: must be at least 1"),
        ({"group_size": 0}, "group_size=0: must be at least 1"),
    ],
)
def test_a_bad_argument_is_refused_with_its_rule(options: dict[str, int], words: str, members: Make, trainer: Callable):
    with pytest.raises(UserError, match=words):
        fit(members([0]), trainer(), **options)


def test_a_missing_gpu_is_refused(members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"trainer\.accelerator=gpu: PyTorch .* finds no CUDA GPU"):
        fit(members([0]), trainer(accelerator="gpu"))
