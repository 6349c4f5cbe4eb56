"""A sweep trains the fits of all jobs together, and each job finishes with its own fits."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from small import FAST

from hemexp.commands.train import train
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.sweep.backends.base import WorkItem
from hemexp.sweep.controller import Sweep
from hemexp.sweep.plan.cost import NEW_FOLDS
from hemexp.sweep.plan.job import SweepJob

CFG = load_config(
    TrainConfig,
    [*FAST, "model=mlp", "evaluation=standard", "evaluation.num_repeats=1", "evaluation.threshold_repeats=1"],
)
FILES = ("predictions.csv", "history.csv", "cv_predictions.csv", "cv_scores.csv", "uncertainty.csv", "splits.json")


def build_jobs(sweep: Path, count: int = 3) -> list[SweepJob]:
    configs = [replace(CFG, optimizer=replace(CFG.optimizer, lr=0.001 * (number + 1))) for number in range(count)]
    return [SweepJob(number, sweep / str(number), (f"lr={number}",), cfg, {}) for number, cfg in enumerate(configs)]


def list_stages(items: list[WorkItem]) -> list[str]:
    return [item.ranges[0].stage if item.ranges else item.kind for item in items]


def compare_with_single_runs(jobs: list[SweepJob], directory: Path) -> None:
    for job in jobs:
        alone = directory / f"alone{job.number}"
        result = train(job.cfg, alone)
        for name in FILES:
            assert (job.directory / name).read_bytes() == (alone / name).read_bytes(), (job.number, name)
        assert f'"model_digest": "{result.model_digest}"' in (job.directory / "result.json").read_text()


def test_fits_of_all_jobs_share_items_and_every_job_has_the_files_of_a_single_run(tmp_path: Path):
    backend = FakeBackend()
    sweep = Sweep(tmp_path / "s", CFG, backend)
    jobs = build_jobs(tmp_path / "s")
    sweep.run_all(jobs)
    assert sweep.finish()
    stages = list_stages(backend.ran)
    assert {stage: stages.count(stage) for stage in stages} == {
        "own": 1, "folds": 1, "training": 1, "jobs": 2, "new_folds": 2, "reevaluation": 1
    }  # fmt: skip
    assert all(len(item.jobs) == 3 for item in backend.ran if item.kind == "fits" and item.ranges[0].stage == "own")
    # each job was found trained: no state of a training is left, and it needs no device
    finished = [item for item in backend.ran if item.kind == "jobs"]
    assert sorted(job.number for item in finished for job in item.jobs) == [0, 1, 2]
    assert all(not item.on_device for item in finished)
    assert not list((tmp_path / "s").glob("*/checkpoints/*/"))
    assert not (tmp_path / "s" / ".batches").exists()
    compare_with_single_runs(jobs, tmp_path)


@pytest.mark.parametrize("interval", [60.0, -1.0])
def test_trained_jobs_wait_for_each_other_while_every_process_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float
):
    """They do not wait longer than the interval."""
    monkeypatch.setattr("hemexp.sweep.controller._FINISH_INTERVAL", interval)
    cfg = replace(CFG, evaluation=replace(CFG.evaluation, name="off", num_repeats=0, threshold_repeats=0))
    jobs = [  # two of each of four shapes
        SweepJob(
            n, tmp_path / "s" / str(n), (), replace(cfg, seed=n, model=replace(cfg.model, hidden_dim=4 + n // 2)), {}
        )
        for n in range(8)
    ]
    backend = FakeBackend()
    sweep = Sweep(tmp_path / "s", cfg, backend)
    sweep.run_all(jobs)
    assert sweep.finish()
    kinds = [item.kind for item in backend.ran]
    assert sorted(job.number for item in backend.ran if item.kind == "jobs" for job in item.jobs) == list(range(8))
    if interval > 0:  # three of the four items of fits first: the fourth leaves one of two processes free
        assert kinds[:3] == ["fits"] * 3
        assert "jobs" not in kinds[:3]
    else:
        assert kinds[:3] == ["fits", "jobs", "fits"]


@pytest.mark.slow
def test_a_job_trains_the_fits_that_were_lost_with_those_of_other_jobs(tmp_path: Path):
    backend = FakeBackend(lambda item: bool(item.ranges) and item.ranges[0].stage == "training")
    sweep = Sweep(tmp_path / "s", CFG, backend)
    jobs = build_jobs(tmp_path / "s")
    sweep.run_all(jobs)
    assert sweep.finish()
    assert all(item.on_device for item in backend.ran if item.kind == "job")
    compare_with_single_runs(jobs, tmp_path)


@pytest.mark.slow
def test_a_job_whose_own_item_is_lost_has_failed_and_the_others_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    backend = FakeBackend(lambda item: item.jobs[0].cfg.seed == 7 and item.kind == "fits")
    sweep = Sweep(tmp_path / "s", CFG, backend)
    jobs = build_jobs(tmp_path / "s", 2)
    deeper = replace(jobs[0].cfg, seed=7, model=replace(jobs[0].cfg.model, hidden_dim=8))
    jobs.append(SweepJob(2, tmp_path / "s" / "2", (), deeper, {}))
    sweep.run_all(jobs)
    assert not sweep.finish()
    assert {number: status.status for number, status in sweep.statuses.items()} == {0: "done", 1: "done", 2: "killed"}
    assert "SIGKILL" in (tmp_path / "s" / "2" / "FAILED").read_text()
    assert "killed: job 2: its process ended by SIGKILL" in capsys.readouterr().out
    again = Sweep(tmp_path / "s", CFG, FakeBackend())
    again.run_all(jobs)
    assert again.finish()
    assert again.num_skipped == 2


@pytest.mark.slow
def test_lost_fits_on_new_folds_are_named_and_the_sweep_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    backend = FakeBackend(lambda item: bool(item.ranges) and item.ranges[0].stage == NEW_FOLDS)
    sweep = Sweep(tmp_path / "s", CFG, backend)
    sweep.run_all(build_jobs(tmp_path / "s", 2))
    assert sweep.finish()
    assert "the best job was not evaluated on new folds: its process ended by SIGKILL" in capsys.readouterr().err
    assert not (tmp_path / "s" / "reevaluation.json").exists()


def test_fits_that_are_lost_after_a_stop_start_no_job(tmp_path: Path):
    backend = FakeBackend()
    sweep = Sweep(tmp_path / "s", CFG, backend)
    jobs = build_jobs(tmp_path / "s", 2)
    sweep.start(jobs, jobs)
    lost = next(item for item in backend.items if len(item.jobs) == 2)
    sweep.stopped = True
    backend.items = [lost]
    backend.loses = lambda item: True
    sweep.handle_events()
    assert backend.idle
    assert [sweep.statuses[job.number].status for job in jobs] == ["interrupted"] * 2


@pytest.mark.slow
def test_a_job_that_fails_with_others_runs_again_alone(tmp_path: Path):
    backend = FakeBackend()
    jobs = build_jobs(tmp_path / "s")
    diverging = replace(jobs[1].cfg, optimizer=replace(CFG.optimizer, lr=1e25))
    jobs[1] = replace(jobs[1], cfg=diverging)
    sweep = Sweep(tmp_path / "s", CFG, backend)
    sweep.run_all(jobs)
    assert not sweep.finish()
    assert [sweep.statuses[number].status for number in range(3)] == ["done", "failed", "done"]
    assert "choose a lower rate" in sweep.statuses[1].message
    assert [item.jobs[0].number for item in backend.ran if item.kind == "job"] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("num_trained", [2, 3])  # of three items
def test_fits_of_an_earlier_start_are_not_trained_again(num_trained: int, tmp_path: Path):
    class Stopping(FakeBackend):
        """End as if the machine failed, after the first fits."""

        def wait(self, seconds):
            events = super().wait(seconds)
            if len(self.ran) == num_trained:
                raise RuntimeError("power failure")
            return events

    jobs = build_jobs(tmp_path / "s")
    first = Sweep(tmp_path / "s", CFG, Stopping())
    with pytest.raises(RuntimeError, match="power failure"):
        first.run_all(jobs)
    first._lock.release()
    backend = FakeBackend()
    second = Sweep(tmp_path / "s", CFG, backend)
    second.run_all(jobs)
    assert second.finish()
    trained = {item.name for item in first.backend.ran}
    assert len(trained) == num_trained
    assert trained.isdisjoint({item.name for item in backend.ran if item.kind == "fits"})
    compare_with_single_runs(jobs, tmp_path)
