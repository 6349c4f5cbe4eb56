"""Jobs on Ray: on one that the backend starts, and on one with four simulated GPUs."""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_items import FAKE_RUN_ITEM, build_items, finish, wait_until
from small import FAST, PLUGIN

from hemexp.config import RayConfig
from hemexp.errors import UserError
from hemexp.sweep.backends.base import ItemResult
from hemexp.sweep.backends.ray import RayBackend, check

pytestmark = [
    pytest.mark.slow,
    # Ray closes its processes and sockets at the end of this process
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def four_gpus() -> Iterator[None]:
    """A Ray with four simulated GPUs, as `where.address` would name it; backends do not stop it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        ray.init(address="local", num_cpus=16, num_gpus=4, include_dashboard=False, log_to_driver=False)
        with pytest.MonkeyPatch.context() as stays:
            stays.setattr(ray, "shutdown", lambda: None)
            yield
    ray.shutdown()


def start_backend(directory: Path, **settings) -> RayBackend:
    backend = RayBackend(RayConfig("ray", **settings), directory, "cpu")
    backend.function = FAKE_RUN_ITEM
    backend.poll_interval = 0.2
    return backend


def test_jobs_share_gpus_as_asked_and_each_sees_its_own(four_gpus: None, tmp_path: Path):
    backend = start_backend(tmp_path, gpus_per_job=0.5)
    assert backend.capacity == 8
    backend.submit(build_items(tmp_path, [{"seconds": 1.0}] * 12))
    ended = finish(backend)
    assert Counter(event.outcome for event in ended.values()) == {"done": 12}
    ran = [json.loads((tmp_path / f"{number}/ran.json").read_text()) for number in range(12)]
    assert {each["device"] for each in ran} == {"0", "1", "2", "3"}
    assert {each["gpu_shares"] for each in ran} == {"2"}
    for one in ran:
        beside = [each for each in ran if each["device"] == one["device"] and each["began"] <= one["began"]]
        assert sum(one["began"] < each["ended"] for each in beside) <= 2
    assert all(event.device.endswith(f"gpu {ran[number]['device']}") for number, event in ended.items())


def test_a_job_that_dies_fails_exits_or_hangs_does_not_affect_the_others(four_gpus: None, tmp_path: Path):
    backend = start_backend(tmp_path, silence_timeout=3.0)
    backend.submit(
        build_items(tmp_path, [{"seconds": 0.2}, {"do": "die"}, {"do": "fail"}, {"do": "exit"}, {"do": "hang"}])
    )
    ended = finish(backend)
    assert [ended[number].outcome for number in range(5)] == ["done", "killed", "failed", "killed", "timeout"]
    assert "its process or its node ended" in ended[1].message
    assert ended[2].message == "ValueError: as planned"
    assert "where.silence_timeout=3 s" in ended[4].message


def test_a_job_with_a_killed_process_does_not_run_again(four_gpus: None, tmp_path: Path):
    backend = start_backend(tmp_path)
    backend.submit(build_items(tmp_path, [{"seconds": 60}, {"seconds": 0.5}]))
    events = wait_until((tmp_path / "0/began").exists, backend)
    os.kill(json.loads(backend.items[0].heartbeat_file.read_text())["pid"], signal.SIGKILL)
    (tmp_path / "0/began").unlink()
    ended = {event.item.jobs[0].number: event for event in events if isinstance(event, ItemResult)} | finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["killed", "done"]
    time.sleep(1)
    assert not (tmp_path / "0/began").exists()


def test_stopping_drops_waiting_jobs_and_lets_running_ones_save_their_state(four_gpus: None, tmp_path: Path):
    backend = start_backend(tmp_path, cpus_per_job=16)
    backend.submit(build_items(tmp_path, [{"seconds": 60}, {"seconds": 60}]))
    wait_until((tmp_path / "0/began").exists, backend)
    backend.stop()
    ended = finish(backend)
    assert {number: (event.outcome, event.message) for number, event in ended.items()} == {
        0: ("interrupted", "stopped")
    }
    time.sleep(1)
    assert not (tmp_path / "1/began").exists()


@pytest.mark.parametrize("settings", [{"gpus_per_job": 1.0, "cpus_per_job": 17}, {"cpus_per_job": 16.5}])
def test_a_job_that_fits_on_no_node_is_refused_at_once(settings: dict[str, float], four_gpus: None):
    check(RayConfig("ray", gpus_per_job=1), "gpu")
    with pytest.raises(
        UserError, match=r"where\.gpus_per_job=.*but no node of this Ray has that \(at most 16 CPU, 4 GPU\)"
    ):
        check(RayConfig("ray", **settings), "cpu")


def test_waiting_jobs_are_ended_when_their_node_is_gone(
    four_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    backend = start_backend(tmp_path, cpus_per_job=16)
    backend.query_interval = 0.1
    backend.submit(build_items(tmp_path, [{"seconds": 2}, {"seconds": 2}]))
    wait_until((tmp_path / "0/began").exists, backend)
    monkeypatch.setattr("hemexp.sweep.backends.ray._list_nodes", lambda: [{"CPU": 2.0}])
    ended = finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["done", "killed"]
    assert "no node of this Ray has that (at most 2 CPU, 0 GPU)" in ended[1].message
    time.sleep(1)
    assert not (tmp_path / "1/began").exists()


def test_an_address_where_ray_does_not_answer_is_refused_at_once(run_command: Callable, tmp_path: Path):
    began = time.monotonic()
    done = run_command("train.py", "-m", "where=ray", "where.address=127.0.0.1:1", "seed=0,1", "hydra.sweep.dir=s")
    assert done.returncode == 2
    assert done.stderr.startswith("error: where.address=127.0.0.1:1: Ray does not answer there")
    assert not (tmp_path / "s").exists()
    assert time.monotonic() - began < 30


def test_a_sweep_runs_on_an_existing_ray_cluster(four_gpus: None, run_command: Callable, tmp_path: Path):
    import ray

    address = ray.get_runtime_context().gcs_address
    where = ["where=ray", f"where.address={address}", "where.gpus_per_job=0.5"]
    done = run_command("train.py", "-m", *where, "model=prevalence,volume", "hydra.sweep.dir=s", *FAST)
    assert done.returncode == 0, done.stderr
    assert "2 at once" in done.stderr
    timeline = (tmp_path / "s" / "timeline.csv").read_text()
    assert timeline.count(" gpu ") == timeline.count(",done") == 2


def test_without_ray_the_message_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"hemexp\[ray\]"):
        check(RayConfig("ray"), "cpu")


def test_a_sweep_starts_and_stops_ray_on_this_machine(run_command: Callable, tmp_path: Path):
    (tmp_path / "my_code.py").write_text(PLUGIN)
    sweep = ["where=ray", "model=prevalence,volume,of_a_plugin", "plugins=my_code", "hydra.sweep.dir=s"]
    done = run_command("train.py", "-m", *sweep, *FAST)
    assert done.returncode == 0, done.stderr
    assert "3 done" in done.stdout
    assert all((tmp_path / "s" / number / "DONE").is_file() for number in "012")
    assert not (tmp_path / "s" / ".ray").exists()
    assert "raylet" not in done.stdout + done.stderr
    done = run_command("train.py", "-m", "where=ray", "where.gpus_per_job=1", "seed=0,1", "hydra.sweep.dir=t", *FAST)
    assert done.returncode == 2
    assert "no node of this Ray has that" in done.stderr
    assert not (tmp_path / "t").exists()
