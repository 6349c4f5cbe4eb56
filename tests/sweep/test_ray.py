"""Jobs on Ray: one that the backend starts itself, and one with four simulated GPUs."""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_tasks import WORK, finish, tasks, wait_until
from small import FAST

from hemexp.config import RayConfig
from hemexp.errors import UserError
from hemexp.sweep.backends.base import Ended
from hemexp.sweep.backends.ray import RayBackend, check

pytestmark = [
    pytest.mark.slow,
    # Ray leaves its processes and sockets to the end of this one
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def four_gpus() -> Iterator[None]:
    """A Ray that believes in four GPUs, as `where.address` would name it; backends leave it running."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        ray.init(address="local", num_cpus=16, num_gpus=4, include_dashboard=False, log_to_driver=False)
        with pytest.MonkeyPatch.context() as stays:
            stays.setattr(ray, "shutdown", lambda: None)
            yield
    ray.shutdown()


def started(folder: Path, **settings) -> RayBackend:
    backend = RayBackend(RayConfig("ray", **settings), folder, "cpu", WORK)
    backend.pause = 0.2
    return backend


def test_jobs_share_gpus_as_asked_and_each_sees_its_own(four_gpus: None, tmp_path: Path):
    backend = started(tmp_path, gpus_per_job=0.5)
    assert backend.capacity == 8
    backend.submit(tasks(tmp_path, [{"seconds": 1.0}] * 12))
    ended = finish(backend)
    assert Counter(event.outcome for event in ended.values()) == {"done": 12}
    ran = [json.loads((tmp_path / f"{number}/ran.json").read_text()) for number in range(12)]
    assert {each["device"] for each in ran} == {"0", "1", "2", "3"}
    for one in ran:
        beside = [each for each in ran if each["device"] == one["device"] and each["began"] <= one["began"]]
        assert sum(one["began"] < each["ended"] for each in beside) <= 2
    assert all(event.device.endswith(f"gpu {ran[number]['device']}") for number, event in ended.items())


def test_a_job_that_dies_fails_exits_or_hangs_costs_only_itself(four_gpus: None, tmp_path: Path):
    backend = started(tmp_path, silence_timeout=3.0)
    backend.submit(tasks(tmp_path, [{"seconds": 0.2}, {"do": "die"}, {"do": "fail"}, {"do": "exit"}, {"do": "hang"}]))
    ended = finish(backend)
    assert [ended[number].outcome for number in range(5)] == ["done", "killed", "failed", "killed", "timeout"]
    assert "its process or its node ended" in ended[1].message
    assert ended[2].message == "ValueError: as planned"
    assert "where.silence_timeout=3 s" in ended[4].message


def test_a_killed_worker_is_one_lost_job_that_runs_no_second_time(four_gpus: None, tmp_path: Path):
    backend = started(tmp_path)
    backend.submit(tasks(tmp_path, [{"seconds": 60}, {"seconds": 0.5}]))
    events = wait_until((tmp_path / "0/began").exists, backend)
    os.kill(json.loads(backend.flights[0].beats.read_text())["pid"], signal.SIGKILL)
    (tmp_path / "0/began").unlink()
    ended = {event.task.jobs[0].number: event for event in events if isinstance(event, Ended)} | finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["killed", "done"]
    time.sleep(1)
    assert not (tmp_path / "0/began").exists()


def test_stopping_forgets_what_waits_and_lets_what_runs_save_its_state(four_gpus: None, tmp_path: Path):
    backend = started(tmp_path, cpus_per_job=16)
    backend.submit(tasks(tmp_path, [{"seconds": 60}, {"seconds": 60}]))
    wait_until((tmp_path / "0/began").exists, backend)
    backend.stop()
    ended = finish(backend)
    assert {number: (event.outcome, event.message) for number, event in ended.items()} == {
        0: ("interrupted", "stopped")
    }
    time.sleep(1)
    assert not (tmp_path / "1/began").exists()


@pytest.mark.parametrize("settings", [{"gpus_per_job": 1.0, "cpus_per_job": 17}, {"cpus_per_job": 16.5}])
def test_what_no_node_has_is_refused_at_once(settings: dict[str, float], four_gpus: None):
    check(RayConfig("ray", gpus_per_job=1), "gpu")
    with pytest.raises(
        UserError, match=r"where\.gpus_per_job=.*no node of this Ray has that \(at most 16 CPU, 4 GPU\)"
    ):
        check(RayConfig("ray", **settings), "cpu")


def test_a_node_that_is_gone_leaves_nobody_waiting(four_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    backend = started(tmp_path, cpus_per_job=16)
    backend.patience = 0.1
    backend.submit(tasks(tmp_path, [{"seconds": 2}, {"seconds": 2}]))
    wait_until((tmp_path / "0/began").exists, backend)
    monkeypatch.setattr("hemexp.sweep.backends.ray._nodes", lambda: [{"CPU": 2.0}])
    ended = finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["done", "killed"]
    assert "no node of this Ray has that (at most 2 CPU, 0 GPU)" in ended[1].message
    time.sleep(1)
    assert not (tmp_path / "1/began").exists()


def test_where_nothing_answers_is_refused_at_once(run_command: Callable, tmp_path: Path):
    began = time.monotonic()
    done = run_command("train.py", "-m", "where=ray", "where.address=127.0.0.1:1", "seed=0,1", "hydra.sweep.dir=s")
    assert done.returncode == 2
    assert done.stderr.startswith("error: where.address=127.0.0.1:1: no Ray answers there")
    assert not (tmp_path / "s").exists()
    assert time.monotonic() - began < 30


def test_a_sweep_on_a_cluster_that_runs_already(four_gpus: None, run_command: Callable, tmp_path: Path):
    import ray

    address = ray.get_runtime_context().gcs_address
    place = ["where=ray", f"where.address={address}", "where.gpus_per_job=0.5"]
    done = run_command("train.py", "-m", *place, "model=prevalence,volume", "hydra.sweep.dir=s", *FAST)
    assert done.returncode == 0, done.stderr
    assert "2 at once" in done.stderr
    timeline = (tmp_path / "s" / "timeline.csv").read_text()
    assert timeline.count(" gpu ") == timeline.count(",done") == 2


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"hemexp\[ray\]"):
        check(RayConfig("ray"), "cpu")


def test_a_sweep_on_a_ray_of_its_own(run_command: Callable, tmp_path: Path):
    done = run_command("train.py", "-m", "where=ray", "model=prevalence,volume", "hydra.sweep.dir=s", *FAST)
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout
    assert all((tmp_path / "s" / number / "DONE").is_file() for number in "01")
    assert not (tmp_path / "s" / ".ray").exists()
    assert "raylet" not in done.stdout + done.stderr
    done = run_command("train.py", "-m", "where=ray", "where.gpus_per_job=1", "seed=0,1", "hydra.sweep.dir=t", *FAST)
    assert done.returncode == 2
    assert "no node of this Ray has that" in done.stderr
    assert not (tmp_path / "t").exists()
