"""Groups in several processes give the same results for every division, even if a worker dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from small import ROOT
from test_loop import Make, equal

from hemexp.config import FirthConfig, ForestConfig
from hemexp.errors import SystemFailure
from hemexp.training import fit as fit_module
from hemexp.training import groups
from hemexp.training.fit import fit
from hemexp.training.loop import fit_group
from hemexp.training.member import FitResult, Member


@pytest.mark.slow
def test_results_do_not_depend_on_workers_and_groups(members: Make, trainer: Callable, tmp_path: Path):
    """The members have two shapes, in a mixed order."""
    group = [*members(range(7)), *members(range(4), model="cnn")][::-1]
    cfg = trainer(max_epochs=8)
    alone = [fit_group([member], cfg)[0] for member in group]
    for options in (
        {"num_workers": 1},
        {"num_workers": 1, "group_size": 2},
        {"num_workers": 2, "group_size": 3},
        {"num_workers": 3, "group_size": 1, "directory": tmp_path},
        {"num_workers": 2, "group_size": 1, "directory": tmp_path},  # continued from the saved states
    ):
        results = fit(group, cfg, **options)
        assert all(equal(a, b) for a, b in zip(alone, results, strict=True)), options
    assert len(list(tmp_path.glob("*.ckpt"))) == len(group)
    assert fit([], cfg) == []


def test_groups_are_divided_evenly_among_workers(members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch):
    requested: list[tuple[list[int], int]] = []

    def record(request, groups, report, num_workers=1):
        requested.append((sorted(len(group) for group in groups), num_workers))
        divided = sorted(number for group in groups for number in group)
        assert divided == list(range(len(request.members)))
        return dict.fromkeys(divided)

    monkeypatch.setattr("hemexp.training.fit.fit_in_this_process", record)
    monkeypatch.setattr("hemexp.training.fit.fit_in_processes", record)
    monkeypatch.setattr("hemexp.training.fit._num_devices", lambda trainer: 4)
    for count in (1, 8, 9, 40, 100):
        fit(members([0]) * count, trainer())
    assert requested == [
        ([1], 1),
        ([8], 1),
        ([2, 2, 2, 3], 4),
        ([5] * 8, 4),
        ([6] * 12 + [7] * 4, 4),
    ]


@pytest.mark.parametrize(("gpus", "count", "sizes"), [
    (1, 200, [200]), (4, 200, [50] * 4), (8, 200, [25] * 8), (8, 10, [5, 5]), (8, 1, [1]), (4, 300, [75] * 4),
])  # fmt: skip
def test_members_of_one_shape_are_divided_among_all_gpus(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch, gpus: int, count: int, sizes: list[int]
):
    def record(request, groups, report, num_workers=1):
        assert sorted(map(len, groups)) == sizes
        assert num_workers == len(sizes)
        return dict.fromkeys(range(count))

    monkeypatch.setattr("hemexp.training.fit.fit_in_this_process", record)
    monkeypatch.setattr("hemexp.training.fit.fit_in_processes", record)
    monkeypatch.setattr("hemexp.training.fit.check_device", lambda accelerator: None)
    monkeypatch.setattr("hemexp.training.fit._num_devices", lambda trainer: gpus)
    fit(members([0]) * count, trainer(accelerator="gpu"), group_size=280)


def fit_with_memory_limit(limit: int, trained: list[int]) -> Callable[..., list[FitResult]]:
    def fit_if_small(group, cfg, **options):
        if len(group) > limit:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        trained.extend(member.seed for member in group)
        return fit_group(group, cfg, **options)

    return fit_if_small


def test_a_group_that_runs_out_of_memory_is_trained_in_smaller_groups(
    members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch
):
    group, cfg, trained = members(range(7)), trainer(max_epochs=4), []
    whole = fit(group, cfg)
    monkeypatch.setattr(fit_module, "fit_group", fit_with_memory_limit(2, trained))
    assert all(equal(a, b) for a, b in zip(whole, fit(group, cfg), strict=True))
    assert sorted(trained) == list(range(7))  # each member once
    monkeypatch.setattr(fit_module, "fit_group", fit_with_memory_limit(0, trained))
    with pytest.raises(SystemFailure, match=r"a member needs more memory.*trainer\.batch_size"):
        fit(group, cfg)


def test_other_errors_are_raised(members: Make, trainer: Callable, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("another error")

    monkeypatch.setattr(fit_module, "fit_group", fails)
    with pytest.raises(RuntimeError, match="another error"):
        fit(members(range(3)), trainer())


@dataclass
class KillOnUnpickle:
    """Kill the first process that unpickles this, after a moment."""

    marker: str
    home: int

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if os.getpid() != self.home and not Path(self.marker).exists():
            Path(self.marker).touch()
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()


@pytest.mark.slow
def test_results_do_not_change_if_a_worker_is_killed(members: Make, trainer: Callable, tmp_path: Path):
    group, cfg = members(range(6)), trainer(max_epochs=200)
    whole = fit(group, cfg)
    marker = tmp_path / "killed"
    killing = [
        replace(
            member, training_set=replace(member.training_set, label={"kill": KillOnUnpickle(str(marker), os.getpid())})
        )
        for member in group
    ]
    results = fit(killing, cfg, num_workers=2, group_size=3)
    assert marker.exists()
    assert all(equal(a, b) for a, b in zip(whole, results, strict=True))


SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from hemexp.config import CNNConfig, OptimizerConfig, TrainerConfig
from hemexp.data.training_set import build_training_set
from hemexp.training.fit import fit
from hemexp.training.member import Member

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    raw, labels = rng.normal(size=(40, 6)), np.arange(40) % 2
    fold = build_training_set(raw, labels, range(40))
    trainer = TrainerConfig(max_epochs=int(sys.argv[2]), stop_loss=None, checkpoint_every=20)
    members = [Member(CNNConfig("cnn"), OptimizerConfig(), fold, seed) for seed in range(4)]
    for result in fit(members, trainer, directory=Path(sys.argv[1]), num_workers=2, group_size=2):
        print(result.epochs, result.best_loss)
"""


def alive(process_group: int) -> bool:
    try:
        os.killpg(process_group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def start_many(folder: Path, epochs: int = 1500) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "many.py").write_text(SCRIPT)
    command = [sys.executable, str(folder / "many.py"), str(folder / "parts"), str(epochs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


@pytest.mark.slow
def test_workers_stop_on_a_signal_and_resume(tmp_path: Path):
    whole, _ = start_many(tmp_path / "whole").communicate(timeout=300)
    for number in (signal.SIGINT, signal.SIGTERM):
        stop_and_resume(number, tmp_path / number.name, whole)


def stop_and_resume(number: signal.Signals, tmp_path: Path, whole: str) -> None:
    process = start_many(tmp_path)
    assert wait_until(lambda: len(list((tmp_path / "parts").glob("*.ckpt"))) == 2, 120)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Interrupted: interrupted after epoch" in errors
    epochs = [torch.load(path, weights_only=True)["num_epochs"] for path in (tmp_path / "parts").glob("*.ckpt")]
    assert len(epochs) == 2
    assert all(0 < epoch < 1500 for epoch in epochs)
    assert wait_until(lambda: not alive(process.pid))  # no worker remains
    again, _ = start_many(tmp_path).communicate(timeout=300)
    assert again.splitlines()[-4:] == whole.splitlines()[-4:]
    assert len(again.splitlines()[-1].split()) == 2


class SleepingRequest(groups.FitRequest):
    """Sleep on the device instead of training on it."""

    def fit(self, group, report, stop):
        started = time.monotonic()
        time.sleep(0.1 * len(group))
        return {i: (os.environ["CUDA_VISIBLE_DEVICES"], os.getpid(), started, time.monotonic()) for i in group}


@pytest.mark.slow
@pytest.mark.parametrize("forks", [True, False])
def test_a_script_needs_a_main_guard_only_where_processes_are_spawned(forks: bool, tmp_path: Path):
    """A spawned process imports the script again, as on Windows; there is a message, and no endless loop."""
    script = SCRIPT.replace(
        'if __name__ == "__main__":', f"import hemexp.runner.launch as l; l.HAS_FORK = {forks}\nif True:"
    )
    (tmp_path / "many.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "many.py"), str(tmp_path / "runs"), "5"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Exception in thread" not in done.stderr
    if forks:
        assert (done.returncode, sum(line.startswith("5 ") for line in done.stdout.splitlines())) == (0, 4), done.stderr
    else:
        assert done.returncode != 0
        assert "call fit under __name__ == '__main__'" in done.stderr


class OneFails(groups.FitRequest):
    """The second group fails while the first trains, which ends only when it is stopped."""

    def fit(self, group, report, stop):
        marker = self.directory / "began"
        if 0 in group:
            marker.touch()
            return super().fit(group, report, stop)
        assert wait_until(marker.is_file)
        time.sleep(3)
        raise ValueError("as planned")


def test_after_an_error_of_one_group_the_others_save_their_states(members: Make, trainer: Callable, tmp_path: Path):
    request = OneFails(fit_group, members(range(4)), trainer(max_epochs=10**6, checkpoint_every=10**6), tmp_path)
    with pytest.raises(ValueError, match="as planned"):
        groups.fit_in_processes(request, [(0, 1), (2, 3)], lambda *progress: None, num_workers=2)
    (state,) = tmp_path.glob("*.ckpt")
    assert torch.load(state, weights_only=True)["num_epochs"] > 0


@pytest.mark.slow
def test_four_simulated_gpus_each_have_one_group_at_a_time(trainer: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(groups, "list_gpus", lambda: ["0", "1", "GPU-2", "3"])
    divided = [tuple(range(start, start + 1 + start % 5)) for start in range(0, 60, 5)]
    request = SleepingRequest(fit_group, [], trainer(accelerator="gpu"))
    results = groups.fit_in_processes(request, divided, lambda *progress: None, num_workers=4)
    assert sorted(results) == sorted(number for group in divided for number in group)
    spans: dict[str, set[tuple[float, float]]] = {}
    for gpu, _, started, ended in results.values():
        spans.setdefault(gpu, set()).add((started, ended))
    assert sorted(spans) == ["0", "1", "3", "GPU-2"]
    assert len({process for _, process, _, _ in results.values()}) == len(divided)  # a process for each group
    for device_spans in spans.values():
        ordered = sorted(device_spans)
        assert all(end <= start for (_, end), (start, _) in pairwise(ordered))


class DiesOnce(groups.FitRequest):
    """The process of the first group is killed once."""

    def fit(self, group, report, stop):
        if 0 in group and not self.directory.exists():
            self.directory.mkdir()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(group, report, stop)


def test_estimators_are_the_same_in_other_processes_one_of_which_dies(
    members: Make, trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Slow ones in processes, quick ones here; a lost one is fitted again."""
    forest = ForestConfig("random_forest", num_trees=5)
    slow = [Member(forest, each.optimizer, each.training_set, each.seed) for each in members(range(5))]
    quick = [Member(FirthConfig("firth"), each.optimizer, each.training_set) for each in members(range(2), model="mlp")]
    mixed, cfg = [*slow[:2], *quick, *slow[2:]], trainer()
    alone = fit(mixed, cfg, num_workers=1)
    monkeypatch.setattr(fit_module, "FitRequest", lambda *given: DiesOnce(*given[:3], tmp_path / "died"))
    together = fit(mixed, cfg, num_workers=2)
    assert (tmp_path / "died").is_dir()
    for one, other in zip(alone, together, strict=True):
        assert one.content["model"] == other.content["model"]
        assert one.history.equals(other.history)
        inputs = mixed[0].training_set.inputs
        assert np.array_equal(one.predictor().predict(inputs), other.predictor().predict(inputs))


def test_a_gpu_that_the_configuration_names_is_used(trainer: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(groups, "list_gpus", lambda: ["5", "7"])
    assert [device.env for device in groups.list_devices(trainer(accelerator="gpu", devices=[2]), 1)] == [{}]
    assert [device.env for device in groups.list_devices(trainer(), 2)] == [{}, {}]
    sharing = groups.list_devices(trainer(accelerator="gpu"), 3)
    assert [device.env["CUDA_VISIBLE_DEVICES"] for device in sharing] == ["5", "7", "5"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_gives_a_member_the_same_curve_alone_and_in_a_group(members: Make, trainer: Callable):
    group, cfg = members(range(64)), trainer(accelerator="gpu", max_epochs=20)
    together, cpu = fit(group, cfg), fit(group, trainer(max_epochs=20))
    for number in (0, 63):
        (alone,) = fit([group[number]], cfg)
        np.testing.assert_allclose(
            alone.history["train/loss"], together[number].history["train/loss"], rtol=1e-3, atol=1e-5
        )
    for one, other in zip(together, cpu, strict=True):
        np.testing.assert_allclose(one.history["train/loss"], other.history["train/loss"], rtol=0.01, atol=1e-4)
