"""Worker processes on this machine, with jobs that sleep, die and hang; devices are simulated by their names."""

import getpass
import heapq
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from fake_items import FAKE_RUN_ITEM, build_items, finish, wait_until

from hemexp.config import LocalConfig
from hemexp.sweep.backends.base import ItemResult, WorkItem
from hemexp.sweep.backends.device_lock import lock_device
from hemexp.sweep.backends.local import Device, LocalBackend

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _workers_can_import_fake_run_item(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("HEMEXP_LEASES", str(tmp_path / "leases"))  # only for these tests


def build_devices(count: int, slots: int = 1) -> list[Device]:
    return [
        Device(f"gpu {i}", {"CUDA_VISIBLE_DEVICES": str(i)}, f"gpu-{i}", slots)
        for i in range(count)
        for _ in range(slots)
    ]


def build_items_with_cost(directory: Path, plans: list[dict]) -> list[WorkItem]:
    items = build_items(directory, plans)
    return [replace(item, cost=plan["seconds"]) for item, plan in zip(items, plans, strict=True)]


def read_times(directory: Path) -> dict[str, list[tuple[float, float]]]:
    by_device = defaultdict(list)
    for path in directory.glob("*/ran.json"):
        ran = json.loads(path.read_text())
        by_device[ran["device"]].append((ran["began"], ran["ended"]))
    return {device: sorted(times) for device, times in by_device.items()}


def count_most_at_once(times: list[tuple[float, float]]) -> int:
    return max(sum(began <= moment < ended for began, ended in times) for moment, _ in times)


@pytest.mark.slow
def test_twelve_unequal_jobs_never_share_one_of_four_devices_and_finish_near_the_ideal_time(tmp_path: Path):
    lengths = [0.3 + 0.25 * number for number in range(12)]
    backend = LocalBackend(build_devices(4), LocalConfig("local"), tmp_path / "log", FAKE_RUN_ITEM)
    backend.submit(build_items_with_cost(tmp_path / "s", [{"seconds": length} for length in lengths]))
    ended = finish(backend)
    assert {event.outcome for event in ended.values()} == {"done"}
    used = read_times(tmp_path / "s")
    assert sorted(used) == ["0", "1", "2", "3"]
    assert all(count_most_at_once(times) == 1 for times in used.values())
    assert {ended[n].device[-1] for n in range(12)} == set(used)
    began = min(times[0][0] for times in used.values())
    makespan = max(times[-1][1] for times in used.values()) - began
    assert makespan < 1.35 * sum(lengths) / 4


def test_a_job_that_dies_hangs_fails_or_exits_does_not_affect_the_others(tmp_path: Path):
    plans = [{"seconds": 0.2}, {"do": "die"}, {"do": "hang"}, {"do": "fail"}, {"do": "exit"}, *[{"seconds": 0.2}] * 4]
    backend = LocalBackend(build_devices(2), LocalConfig("local", silence_timeout=2), tmp_path / "log", FAKE_RUN_ITEM)
    backend.submit(build_items(tmp_path / "s", plans))
    ended = finish(backend)
    assert [ended[n].outcome for n in range(5)] == ["done", "killed", "timeout", "failed", "killed"]
    assert "SIGKILL" in ended[1].message
    assert "sent no heartbeat" in ended[2].message
    assert "where.silence_timeout=2" in ended[2].message
    assert ended[3].message == "ValueError: as planned"
    assert "exit code 3" in ended[4].message
    assert all(ended[n].outcome == "done" for n in range(5, 9))


@pytest.mark.slow
def test_a_busy_job_is_not_ended_as_silent_but_may_exceed_its_time_limit(tmp_path: Path):
    where = LocalConfig("local", silence_timeout=1, job_timeout=3)
    backend = LocalBackend(build_devices(2), where, tmp_path / "log", FAKE_RUN_ITEM)
    backend.submit(build_items(tmp_path / "s", [{"seconds": 2}, {"seconds": 60}]))
    ended = finish(backend)
    assert ended[0].outcome == "done"
    assert ended[1].outcome == "timeout"
    assert "where.job_timeout=3" in ended[1].message


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
def test_two_sweeps_at_the_same_time_never_use_more_than_the_slots_of_a_device(slots: int, tmp_path: Path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom test_local import *\n"
        "directory = Path(sys.argv[1])\n"
        f"backend = LocalBackend(build_devices(2, {slots}), LocalConfig('local'), directory / 'log', FAKE_RUN_ITEM)\n"
        "backend.submit(build_items(directory / 's', [{'seconds': 0.4}] * 6))\n"
        "assert {e.outcome for e in finish(backend).values()} == {'done'}"
    )
    sweeps = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        env = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent.parent}"}
        sweeps.append(subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)], env=env))
    assert [sweep.wait(timeout=120) for sweep in sweeps] == [0, 0]
    used = defaultdict(list)
    for name in ("a", "b"):
        for device, times in read_times(tmp_path / name / "s").items():
            used[device] += times
    assert sum(map(len, used.values())) == 12
    assert all(count_most_at_once(sorted(times)) <= slots for times in used.values())
    assert max(count_most_at_once(sorted(times)) for times in used.values()) == slots


def test_stopping_lets_running_jobs_save_and_drops_queued_ones(tmp_path: Path):
    backend = LocalBackend(build_devices(1), LocalConfig("local"), tmp_path / "log", FAKE_RUN_ITEM)
    backend.submit(build_items(tmp_path / "s", [{"seconds": 30}, {"seconds": 20}]))
    while not (tmp_path / "s" / "0" / "began").exists():
        backend.wait(0.1)
    backend.stop()
    (event,) = finish(backend).values()
    assert (event.outcome, event.message) == ("interrupted", "stopped")
    assert not (tmp_path / "s" / "1" / "began").exists()


def test_workers_started_early_write_nothing_lock_no_device_and_run_the_items(tmp_path: Path):
    backend = LocalBackend(build_devices(2), LocalConfig("local"), tmp_path / "s" / "log", FAKE_RUN_ITEM)
    backend.warm_up(5)
    started = {worker.process.pid for worker in backend._workers}
    wait_until(lambda: all(worker.ready for worker in backend._workers), backend)
    assert len(started) == 2
    assert not (tmp_path / "s").exists()
    with lock_device("gpu-0", 1), lock_device("gpu-1", 1):  # another sweep can use both
        pass
    backend.submit(build_items(tmp_path / "s", [{"seconds": 0.3}, {"seconds": 0.3}]))
    wait_until(lambda: backend.idle, backend)
    assert {worker.process.pid for worker in backend._workers} == started
    assert all((tmp_path / "s" / number / "ran.json").exists() for number in "01")
    backend.close()
    assert not (tmp_path / "s" / "log").exists()  # the workers printed nothing


def test_an_abandoned_backend_leaves_no_files(tmp_path: Path):
    backend = LocalBackend(build_devices(2), LocalConfig("local"), tmp_path / "s" / "log", "no_such_module:run_item")
    backend.warm_up(2)
    started = [worker.process for worker in backend._workers]
    assert {process.wait(timeout=60) for process in started} == {1}  # both printed an error
    backend.abandon()
    assert list(tmp_path.iterdir()) == []


def test_workers_that_cannot_start_are_an_error_that_names_their_log(tmp_path: Path):
    backend = LocalBackend(build_devices(1), LocalConfig("local"), tmp_path / "log", "no_such_module:run_item")
    backend.submit(build_items(tmp_path / "s", [{"seconds": 1}]))
    with pytest.raises(RuntimeError, match="do not start"):
        finish(backend)
    assert "no_such_module" in (tmp_path / "log").read_text()


def test_workers_end_with_their_parent(tmp_path: Path):
    code = (
        "import sys, os, time\nfrom pathlib import Path\nfrom test_local import *\n"
        "directory = Path(sys.argv[1])\n"
        "backend = LocalBackend(build_devices(1), LocalConfig('local'), directory / 'log', FAKE_RUN_ITEM)\n"
        "backend.submit(build_items(directory / 's', [{'seconds': 60}]))\n"
        "while not (directory / 's' / '0' / 'began').exists():\n    backend.wait(0.1)\n"
        "print(backend._workers[0].process.pid, flush=True)\ntime.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent.parent}"}
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=env, stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{worker}/cmdline").exists() or not Path(f"/proc/{worker}/cmdline").read_bytes():
            return
        time.sleep(0.1)
    pytest.fail("the worker still runs after the end of its parent")


def test_an_item_runs_on_another_worker_if_its_worker_dies_before_it_began(tmp_path: Path):
    backend = LocalBackend(build_devices(1), LocalConfig("local"), tmp_path / "log", FAKE_RUN_ITEM)
    first, second = build_items(tmp_path / "s", [{"seconds": 0.1}, {"seconds": 0.1}])
    backend.submit([first])
    while not any(isinstance(event, ItemResult) for event in backend.wait(1)):
        pass
    os.kill(backend._workers[0].process.pid, signal.SIGKILL)
    backend.submit([second])
    ended = finish(backend)
    assert ended[1].outcome == "done"
    assert (tmp_path / "s" / "1" / "ran.json").is_file()


def test_a_job_fails_at_once_if_its_device_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for directory in (tmp_path / "leases", tmp_path / f"hemexp-devices-{getpass.getuser()}"):
        (directory / "gpu-0.0.lock").mkdir(parents=True)  # in the place of the lock file
    backend = LocalBackend(build_devices(1), LocalConfig("local"), tmp_path / "log", FAKE_RUN_ITEM)
    backend.submit(build_items(tmp_path / "s", [{"seconds": 0.1}]))
    (event,) = finish(backend).values()
    assert event.outcome == "failed"
    assert "gpu-0 cannot be locked" in event.message


def test_fewer_items_get_more_cores_each(tmp_path: Path):
    cpus = [Device(f"cpu {number}", {"HEMEXP_NUM_CORES": "1"}) for number in range(4)]
    backend = LocalBackend(cpus, LocalConfig("local"), tmp_path / "log", FAKE_RUN_ITEM, num_cores=8)
    backend.submit(build_items(tmp_path / "two", [{"seconds": 0.3}] * 2))
    finish(backend)
    backend = LocalBackend(cpus, LocalConfig("local"), tmp_path / "log", FAKE_RUN_ITEM, num_cores=8)
    backend.submit(build_items(tmp_path / "many", [{"seconds": 0.1}] * 9))
    finish(backend)
    cores = {
        name: [json.loads(path.read_text())["cores"] for path in (tmp_path / name).glob("*/ran.json")]
        for name in ("two", "many")
    }
    assert cores["two"] == ["4", "4"]
    assert set(cores["many"][:4]) <= {"2", "4", "8"}
    assert cores["many"].count("2") >= 6


def test_jobs_that_only_finish_start_first_then_the_first_wave_then_the_most_expensive_items(tmp_path: Path):
    backend = LocalBackend([], LocalConfig("local"), tmp_path / "log", FAKE_RUN_ITEM)
    items = build_items(tmp_path / "s", [{"seconds": 0.1}] * 5)
    changes = [("fits", 1, 99.0), ("fits", 0, 1.0), ("fits", 0, 5.0), ("job", 0, 3.0), ("job", 0, 20.0)]
    backend.submit(
        [
            replace(each, kind=kind, wave=wave, cost=cost)
            for each, (kind, wave, cost) in zip(items, changes, strict=True)
        ]
    )
    order = [heapq.heappop(backend._waiting)[-1].cost for _ in range(5)]
    assert order == [20.0, 3.0, 5.0, 1.0, 99.0]
