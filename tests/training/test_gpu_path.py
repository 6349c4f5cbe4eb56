"""Tests of the code for a GPU that need no GPU: `is_cpu` returns False here, so the code for a GPU runs on the CPU."""

import gc
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from test_loop import Make
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from hemexp.config import (
    AdamWConfig,
    CosineConfig,
    FocalConfig,
    LabelSmoothingConfig,
    LossConfig,
    OptimizerConfig,
    PlateauConfig,
    SGDConfig,
    StepConfig,
    TabularConfig,
    TrainerConfig,
)
from hemexp.hardware import GPU_SHARES
from hemexp.training import batched_functions, task
from hemexp.training import fit as fit_module
from hemexp.training import optimizer as optimizer_module
from hemexp.training.fit import fit
from hemexp.training.group_size import compute_group_size
from hemexp.training.loop import fit_group
from hemexp.training.member import FitResult, Member
from hemexp.training.task import ExpansionTask

# operations that start no kernel on a GPU, besides views
NO_KERNEL = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "_unsafe_view"}
NO_KERNEL |= {"_record_function_enter_new", "_record_function_exit"}
WAITS = {"_local_scalar_dense", "nonzero", "is_nonzero", "item", "masked_select", "lift_fresh", "_assert_async"}
RATES = (0.01, 0.03, 0.05)
HOST_COPIES = {"cpu", "tolist", "numpy", "item", "__bool__", "__int__", "__float__", "__index__", "__array__"}


@pytest.fixture
def no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the branches of a GPU."""
    for module in (task, optimizer_module, batched_functions):
        monkeypatch.setattr(module, "is_cpu", lambda tensor: False)


class CountKernels(TorchDispatchMode):
    """Count the operations that start a kernel; refuse those that wait for a GPU or copy from the host."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in WAITS, name
        if not func.is_view and name not in NO_KERNEL:
            self.kernels[name] += 1
        return func(*args, **(kwargs or {}))


class RefuseHost(TorchFunctionMode):
    """Refuse the methods that copy a tensor to the host. On a CPU, the dispatcher does not see most of them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        assert name not in HOST_COPIES, name
        return func(*args, **(kwargs or {}))


def count_kernels(group: list[Member], cfg: TrainerConfig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Train a group and return the number of kernels of each epoch."""
    counts = []
    original = ExpansionTask._train_epoch

    def counted(self, *args):
        with RefuseHost(), CountKernels() as counter:
            scores = original(self, *args)
        counts.append(counter.kernels.total())
        return scores

    with monkeypatch.context() as patch:
        patch.setattr(ExpansionTask, "_train_epoch", counted)
        fit_group(group, cfg)
    return counts


SETTINGS = {  # model, overrides, trainer, validation part, most kernels of an epoch
    "full batch": ("sacnn", (), {"stop_loss": 0.3, "patience": 4}, False, 200),
    "full batch, dropout": ("sacnn", ("model.dropout=0.3",), {}, False, 250),
    "validation": ("sacnn", (), {"patience": 4}, True, 250),
    "mini-batches, dropout, validation": ("sacnn", ("model.dropout=0.3",), {"batch_size": 12}, True, 1200),
    "per_feature": ("sacnn", ("model.embedding=per_feature",), {}, False, 200),
    "cnn": ("cnn", (), {}, False, 200),
    "attention": ("attention", (), {}, False, 200),
    "mlp": ("mlp", ("model.dropout=0.5",), {}, False, 200),
}


@pytest.mark.usefixtures("no_cpu")
@pytest.mark.parametrize("setting", SETTINGS)
def test_an_epoch_never_waits_for_the_device(
    setting: str, members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    model, overrides, changes, validation, most = SETTINGS[setting]
    group = members(range(6), *overrides, model=model, validation=validation)
    counts = count_kernels(group, trainer(**changes), monkeypatch)
    assert len(counts) == 12
    assert max(counts) <= most


@pytest.mark.usefixtures("no_cpu")
def test_the_number_of_kernels_does_not_grow_with_the_number_of_members(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    few, many = (
        count_kernels(members(range(count), "model.dropout=0.3"), trainer(max_epochs=2), monkeypatch)
        for count in (3, 40)
    )
    assert few == many


@pytest.mark.usefixtures("no_cpu")
@pytest.mark.parametrize("look", [lambda loss: loss.nonzero(), lambda loss: loss.cpu(), lambda loss: float(loss[0])])
def test_the_test_notices_a_wait(look: Callable, members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch):
    original = ExpansionTask._stop_members

    def stop(self, epoch, loss):
        original(self, epoch, loss)
        look(loss)

    monkeypatch.setattr(ExpansionTask, "_stop_members", stop)
    with pytest.raises(AssertionError, match=r"nonzero|cpu|__float__|item"):
        count_kernels(members([0]), trainer(), monkeypatch)


ALGORITHMS: dict[str, tuple[list[Any], Any]] = {
    "adamw, focal": ([AdamWConfig(lr, 0.1, "adamw") for lr in RATES], FocalConfig("focal")),
    "sgd, weighted": ([SGDConfig(lr, 0.1, "sgd", 10 * lr) for lr in RATES], LossConfig("weighted")),
    "nesterov, smoothed": (
        [SGDConfig(lr, 0.1, "sgd", nesterov=True) for lr in RATES],
        LabelSmoothingConfig("label_smoothing"),
    ),
}
SCHEDULERS = [
    PlateauConfig("plateau", patience=0, threshold=0.3),
    StepConfig("step", every=3),
    CosineConfig("cosine", min_lr=1e-5),
]


def change(group: list[Member], algorithm: str) -> list[Member]:
    """Give the members of a group another optimizer and loss, and different schedules."""
    optimizers, loss = ALGORITHMS[algorithm]
    return [
        replace(member, optimizer=optimizers[number % 3], scheduler=SCHEDULERS[number % 3], loss=loss)
        for number, member in enumerate(group)
    ]


@pytest.mark.usefixtures("no_cpu")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("validation", [False, True])
def test_no_optimizer_schedule_or_loss_waits_for_the_device(
    algorithm: str, validation: bool, members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    """With clipping; the number of kernels does not grow with the number of members."""
    few, many = (members(range(count), model="mlp", validation=validation) for count in (3, 20))
    default = count_kernels(few, trainer(), monkeypatch)
    cfg = trainer(gradient_clip_val=0.1)
    counts = [count_kernels(change(group, algorithm), cfg, monkeypatch) for group in (few, many)]
    assert counts[0] == counts[1]
    assert max(counts[0]) - max(default) <= 45


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_branches_of_a_gpu_give_the_results_of_a_cpu_for_every_optimizer(
    algorithm: str, members: Make, trainer: Callable, request: pytest.FixtureRequest
):
    group = change(members(range(6), model="mlp"), algorithm)
    cfg = trainer(max_epochs=60, precision=64, patience=12, gradient_clip_val=0.1)
    cpu = fit_group(group, cfg)
    request.getfixturevalue("no_cpu")
    gpu = fit_group(group, cfg)
    assert len({result.epochs for result in cpu}) > 1
    assert all(close(ours, expected) for ours, expected in zip(gpu, cpu, strict=True))


def close(ours: FitResult, expected: FitResult) -> bool:
    """Whether two results agree within 1e-8."""
    ends = [(result.epochs, result.best_epoch, result.stopped_by) for result in (ours, expected)]
    states = zip(ours.content["state_dict"].values(), expected.content["state_dict"].values(), strict=True)
    curves = torch.tensor(ours.history.to_numpy() - expected.history.to_numpy())
    return ends[0] == ends[1] and bool(
        (curves.nan_to_num().abs() < 1e-8).all() and all(torch.allclose(*pair, rtol=0, atol=1e-8) for pair in states)
    )


@pytest.mark.parametrize("setting", ["full batch", "mini-batches, dropout, validation"])
def test_the_branches_of_a_gpu_give_the_results_of_a_cpu(
    setting: str, members: Make, trainer: Callable, request: pytest.FixtureRequest
):
    """In 64 bits; the members stop at different epochs and have different rates and weight decays."""
    model, overrides, changes, validation, _ = SETTINGS[setting]
    group = members(range(6), *overrides, model=model, validation=validation)
    cfg = trainer(**{**changes, "max_epochs": 60, "precision": 64, "patience": 6})
    cpu = fit_group(group, cfg)
    request.getfixturevalue("no_cpu")
    gpu = fit_group(group, cfg)
    assert len({result.epochs for result in cpu}) > 2
    assert all(close(ours, expected) for ours, expected in zip(gpu, cpu, strict=True))


@pytest.mark.parametrize("forced", [False, True])
def test_a_member_that_is_done_keeps_its_last_weights(
    forced: bool, members: Make, trainer: Callable, request: pytest.FixtureRequest
):
    """They are those of the member alone, although the group goes on for the rest of a chunk."""
    group, cfg = [replace_last(member) for member in members(range(5), validation=False)], trainer(max_epochs=200)
    cfg.stop_loss = 0.3
    alone = [fit_group([member], cfg)[0] for member in group]
    if forced:
        request.getfixturevalue("no_cpu")
        alone = [fit_group([member], cfg)[0] for member in group]
    together = fit_group(group, cfg)
    assert len({result.epochs for result in together}) > 2
    for one, other in zip(together, alone, strict=True):
        assert one.last is not None
        assert other.last is not None
        assert all(torch.equal(one.last["state_dict"][k], v) for k, v in other.last["state_dict"].items())


def replace_last(member: Member) -> Member:
    return Member(member.model, member.optimizer, member.training_set, member.seed, keep_last=True)


@pytest.mark.usefixtures("no_cpu")
def test_when_a_group_shrinks_does_not_depend_on_the_time(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    """The last bits on a GPU depend on the size of a group, and the same run must give the same bits again."""
    shrunk: list[list[tuple[int, int]]] = []
    original = ExpansionTask.shrink

    def note(self, rows):
        shrunk[-1].append((self.epoch, len(rows)))
        original(self, rows)

    monkeypatch.setattr(ExpansionTask, "shrink", note)
    for seconds in (0.0, 1e9):  # chunks of one epoch and of 50
        monkeypatch.setattr(task, "_CHUNK_SECONDS", seconds)
        shrunk.append([])
        fit_group(members(range(5), model="mlp", validation=False), trainer(max_epochs=200, stop_loss=0.3))
    assert shrunk[0] == shrunk[1] != []


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without Python's garbage collector, memory is free only when nothing refers to it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_the_memory_of_a_group_is_free_after_it_and_after_out_of_memory(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    """The first step of the group of four fails; its halves are then trained, and find the memory free."""
    references: list[weakref.ref] = []
    left: list[int] = []
    step, stop = ExpansionTask.training_step, ExpansionTask._stop_members

    def watch(self, batch, batch_idx):
        if self.epoch == 0:
            left.append(sum(reference() is not None for reference in references))
            references.clear()
        state = self.trainer.optimizers[0].state[self.net.weights]
        kept = [self.net.weights, *self.buffers(), state["exp_avg"], state["exp_avg_sq"], *batch["train"]]
        references.extend(weakref.ref(tensor) for tensor in kept)
        return step(self, batch, batch_idx)

    def run_out(self, epoch, loss):
        references.append(weakref.ref(loss))
        if len(self.members) == 4:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        stop(self, epoch, loss)

    monkeypatch.setattr(ExpansionTask, "training_step", watch)
    monkeypatch.setattr(ExpansionTask, "_stop_members", run_out)
    results = fit(members(range(4)), trainer(max_epochs=3), num_workers=1)
    assert [result.epochs for result in results] == [3] * 4
    assert left == [0, 0, 0]  # before the group of four, and before each half
    assert all(reference() is None for reference in references)


def fake_card(monkeypatch: pytest.MonkeyPatch, free: list[float], cached: list[float]) -> None:
    """Let PyTorch report cards with this memory, in GiB."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free[device] * 2**30), 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: int((cached[device] + 1) * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2**30)


def test_the_size_of_a_group_follows_what_the_allocator_really_has(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    member, cfg = members([0])[0], trainer(accelerator="gpu")
    sizes = []
    for free, cached in (([79], [0]), ([12], [67]), ([79, 12], [0, 67]), ([79, 39.5], [0, 0]), ([39.5], [0])):
        fake_card(monkeypatch, free, cached)
        sizes.append(compute_group_size(member, cfg))
    assert sizes[0] == sizes[1] == sizes[2] == pytest.approx(2 * sizes[3], rel=1e-3)
    assert sizes[3] == sizes[4]  # of two cards, the fuller one decides
    fake_card(monkeypatch, [79, 39.5], [0, 0])
    assert compute_group_size(member, trainer(accelerator="gpu", devices=[0])) == sizes[0]
    assert compute_group_size(member, trainer(accelerator="gpu", devices=[0]), 2) == sizes[0] // 2
    monkeypatch.setenv(GPU_SHARES, "4")
    assert compute_group_size(member, trainer(accelerator="gpu", devices=[0])) == sizes[0] // 4


def test_processes_of_a_fit_that_share_a_card_share_its_memory(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    fake_card(monkeypatch, [79, 79], [0, 0])
    shares: list[int] = []
    monkeypatch.setattr(fit_module, "check_device", lambda accelerator: None)
    monkeypatch.setattr(fit_module, "compute_group_size", lambda member, cfg, count: shares.append(count) or 2)
    monkeypatch.setattr(fit_module, "fit_in_processes", lambda request, divided, *_: dict.fromkeys(range(8)))
    for num_workers in (None, 2, 4, 5):
        fit(members([0]) * 8, trainer(accelerator="gpu"), num_workers=num_workers)
    assert shares == [1, 1, 2, 3]


@pytest.mark.parametrize("matmul", ["highest", "high", "medium"])
def test_the_precision_of_products_is_set_for_a_fit_only(
    matmul: str, members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    seen = set()
    original = ExpansionTask.training_step

    def look(self, *args):
        seen.add(torch.get_float32_matmul_precision())
        return original(self, *args)

    monkeypatch.setattr(ExpansionTask, "training_step", look)
    before = torch.get_float32_matmul_precision()
    fit_group(members([0]), trainer(max_epochs=2, matmul=matmul))
    assert seen == {matmul}
    assert torch.get_float32_matmul_precision() == before


def test_a_peer_that_cannot_use_the_gpu_is_named(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(fit_module, "check_device", lambda accelerator: None)
    fitted = FitResult({}, 1, 0, 0.5, "fitted", pd.DataFrame())
    monkeypatch.setattr(fit_module, "fit_estimators", lambda *_, **__: [fitted])
    peer = Member(TabularConfig("tabm"), OptimizerConfig(), members([0])[0].training_set)
    with caplog.at_level(logging.WARNING):
        fit([peer], trainer())
        assert "tabm" not in caplog.text
        fit([peer], trainer(accelerator="gpu"))
    assert "model.name=tabm: trained on the CPU; only hemexp's own networks use a GPU" in caplog.text


def test_adam_with_columns_is_adam(monkeypatch: pytest.MonkeyPatch):
    """100 steps in 64 bits, members with different rates, against torch.optim.Adam on each row."""
    monkeypatch.setattr(optimizer_module, "is_cpu", lambda tensor: False)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 64, generator=generator, dtype=torch.float64)
    rates = [(1e-3, 0.0), (1e-2, 0.0), (1e-2, 0.1)]
    rows = torch.nn.Parameter(start.clone())
    ours = optimizer_module.RowAdam(rows, [OptimizerConfig(*pair) for pair in rates], torch.tensor([True, True, True]))
    alone = [torch.nn.Parameter(row.clone()) for row in start]
    theirs = [torch.optim.Adam([row], lr=lr, weight_decay=decay) for row, (lr, decay) in zip(alone, rates, strict=True)]
    for _ in range(100):
        rows.grad = torch.randn(3, 64, generator=generator, dtype=torch.float64)
        ours.step()
        for row, gradient, optimizer in zip(alone, rows.grad, theirs, strict=True):
            row.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(rows.detach(), torch.stack([row.detach() for row in alone]), rtol=0, atol=1e-12)
