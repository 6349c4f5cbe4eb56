"""Workers, devices and tasks, with jobs that sleep, die and hang. Four devices are simulated by their names."""

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
from fake_tasks import WORK, finish, tasks, wait_until

from hemexp.config import LocalConfig
from hemexp.sweep.backends.base import Ended, Task
from hemexp.sweep.backends.device_lock import leased
from hemexp.sweep.backends.local import Device, Pool

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _workers_find_the_fake_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("HEMEXP_LEASES", str(tmp_path / "leases"))  # of these tests only


def devices(count: int, slots: int = 1) -> list[Device]:
    return [
        Device(f"gpu {i}", {"CUDA_VISIBLE_DEVICES": str(i)}, f"gpu-{i}", slots)
        for i in range(count)
        for _ in range(slots)
    ]


def costed(folder: Path, plans: list[dict]) -> list[Task]:
    """The longest begin first."""
    return [replace(task, cost=plan["seconds"]) for task, plan in zip(tasks(folder, plans), plans, strict=True)]


def spans(folder: Path) -> dict[str, list[tuple[float, float]]]:
    by_device = defaultdict(list)
    for path in folder.glob("*/ran.json"):
        ran = json.loads(path.read_text())
        by_device[ran["device"]].append((ran["began"], ran["ended"]))
    return {device: sorted(times) for device, times in by_device.items()}


def most_at_once(times: list[tuple[float, float]]) -> int:
    return max(sum(began <= moment < ended for began, ended in times) for moment, _ in times)


@pytest.mark.slow
def test_twelve_unequal_jobs_on_four_devices_never_share_one_and_end_near_the_ideal(tmp_path: Path):
    lengths = [0.3 + 0.25 * number for number in range(12)]
    pool = Pool(devices(4), LocalConfig("local"), tmp_path / "log", WORK)
    pool.submit(costed(tmp_path / "s", [{"seconds": length} for length in lengths]))
    ended = finish(pool)
    assert {event.outcome for event in ended.values()} == {"done"}
    used = spans(tmp_path / "s")
    assert sorted(used) == ["0", "1", "2", "3"]
    assert all(most_at_once(times) == 1 for times in used.values())
    assert {ended[n].device[-1] for n in range(12)} == set(used)
    began = min(times[0][0] for times in used.values())
    makespan = max(times[-1][1] for times in used.values()) - began
    assert makespan < 1.35 * sum(lengths) / 4


def test_a_job_that_dies_hangs_fails_or_exits_costs_only_itself(tmp_path: Path):
    plans = [{"seconds": 0.2}, {"do": "die"}, {"do": "hang"}, {"do": "fail"}, {"do": "exit"}, *[{"seconds": 0.2}] * 4]
    pool = Pool(devices(2), LocalConfig("local", silence_timeout=2), tmp_path / "log", WORK)
    pool.submit(tasks(tmp_path / "s", plans))
    ended = finish(pool)
    assert [ended[n].outcome for n in range(5)] == ["done", "killed", "timeout", "failed", "killed"]
    assert "SIGKILL" in ended[1].message
    assert "no sign of life" in ended[2].message
    assert "where.silence_timeout=2" in ended[2].message
    assert ended[3].message == "ValueError: as planned"
    assert "exit code 3" in ended[4].message
    assert all(ended[n].outcome == "done" for n in range(5, 9))


@pytest.mark.slow
def test_a_busy_job_is_not_taken_for_hung_but_may_take_too_long(tmp_path: Path):
    where = LocalConfig("local", silence_timeout=1, job_timeout=3)
    pool = Pool(devices(2), where, tmp_path / "log", WORK)
    pool.submit(tasks(tmp_path / "s", [{"seconds": 2}, {"seconds": 60}]))
    ended = finish(pool)
    assert ended[0].outcome == "done"
    assert ended[1].outcome == "timeout"
    assert "where.job_timeout=3" in ended[1].message


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
def test_two_sweeps_at_once_share_devices_without_meeting(slots: int, tmp_path: Path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom test_local import *\n"
        "place = Path(sys.argv[1])\n"
        f"pool = Pool(devices(2, {slots}), LocalConfig('local'), place / 'log', WORK)\n"
        "pool.submit(tasks(place / 's', [{'seconds': 0.4}] * 6))\n"
        "assert {e.outcome for e in finish(pool).values()} == {'done'}"
    )
    sweeps = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        env = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent.parent}"}
        sweeps.append(subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)], env=env))
    assert [sweep.wait(timeout=120) for sweep in sweeps] == [0, 0]
    used = defaultdict(list)
    for name in ("a", "b"):
        for device, times in spans(tmp_path / name / "s").items():
            used[device] += times
    assert sum(map(len, used.values())) == 12
    assert all(most_at_once(sorted(times)) <= slots for times in used.values())
    assert max(most_at_once(sorted(times)) for times in used.values()) == slots


def test_stopping_lets_jobs_save_and_forgets_the_rest(tmp_path: Path):
    pool = Pool(devices(1), LocalConfig("local"), tmp_path / "log", WORK)
    pool.submit(tasks(tmp_path / "s", [{"seconds": 30}, {"seconds": 20}]))
    while not (tmp_path / "s" / "0" / "began").exists():
        pool.wait(0.1)
    pool.stop()
    (event,) = (each for each in finish(pool).values())
    assert (event.outcome, event.message) == ("interrupted", "stopped")
    assert not (tmp_path / "s" / "1" / "began").exists()


def test_workers_started_ahead_write_nothing_hold_no_device_and_take_the_tasks(tmp_path: Path):
    pool = Pool(devices(2), LocalConfig("local"), tmp_path / "s" / "log", WORK)
    pool.warm_up(5)
    started = {worker.process.pid for worker in pool._workers}
    wait_until(lambda: all(worker.ready for worker in pool._workers), pool)
    assert len(started) == 2
    assert not (tmp_path / "s").exists()
    with leased("gpu-0", 1), leased("gpu-1", 1):  # another sweep's: both are free
        pass
    pool.submit(tasks(tmp_path / "s", [{"seconds": 0.3}, {"seconds": 0.3}]))
    wait_until(lambda: pool.idle, pool)
    assert {worker.process.pid for worker in pool._workers} == started
    assert all((tmp_path / "s" / number / "ran.json").exists() for number in "01")
    pool.close()
    assert not (tmp_path / "s" / "log").exists()  # nobody said anything


def test_of_a_sweep_that_did_not_begin_nothing_is_left(tmp_path: Path):
    pool = Pool(devices(2), LocalConfig("local"), tmp_path / "s" / "log", "no_such_module:run_task")
    pool.warm_up(2)
    started = [worker.process for worker in pool._workers]
    assert {process.wait(timeout=60) for process in started} == {1}  # and both have said why
    pool.abandon()
    assert list(tmp_path.iterdir()) == []


def test_workers_that_cannot_start_are_an_error_that_names_their_log(tmp_path: Path):
    pool = Pool(devices(1), LocalConfig("local"), tmp_path / "log", "no_such_module:run_task")
    pool.submit(tasks(tmp_path / "s", [{"seconds": 1}]))
    with pytest.raises(RuntimeError, match="do not start"):
        finish(pool)
    assert "no_such_module" in (tmp_path / "log").read_text()


def test_workers_end_with_their_parent(tmp_path: Path):
    code = (
        "import sys, os, time\nfrom pathlib import Path\nfrom test_local import *\n"
        "place = Path(sys.argv[1])\npool = Pool(devices(1), LocalConfig('local'), place / 'log', WORK)\n"
        "pool.submit(tasks(place / 's', [{'seconds': 60}]))\n"
        "while not (place / 's' / '0' / 'began').exists():\n    pool.wait(0.1)\n"
        "print(pool._workers[0].process.pid, flush=True)\ntime.sleep(60)"
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
    pytest.fail("the worker outlived its parent")


def test_a_worker_that_dies_before_the_task_began_costs_nothing(tmp_path: Path):
    pool = Pool(devices(1), LocalConfig("local"), tmp_path / "log", WORK)
    first, second = tasks(tmp_path / "s", [{"seconds": 0.1}, {"seconds": 0.1}])
    pool.submit([first])
    while not any(isinstance(event, Ended) for event in pool.wait(1)):
        pass
    os.kill(pool._workers[0].process.pid, signal.SIGKILL)
    pool.submit([second])
    ended = finish(pool)
    assert ended[1].outcome == "done"
    assert (tmp_path / "s" / "1" / "ran.json").is_file()


def test_a_device_that_nobody_can_lock_is_a_failed_job_and_not_a_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for folder in (tmp_path / "leases", tmp_path / f"hemexp-devices-{getpass.getuser()}"):
        (folder / "gpu-0.0.lock").mkdir(parents=True)  # where the lock's file should be
    pool = Pool(devices(1), LocalConfig("local"), tmp_path / "log", WORK)
    pool.submit(tasks(tmp_path / "s", [{"seconds": 0.1}]))
    (event,) = finish(pool).values()
    assert event.outcome == "failed"
    assert "gpu-0 cannot be leased" in event.message


def test_the_fewer_tasks_there_are_the_more_cores_each_has(tmp_path: Path):
    places = [Device(f"cpu {number}", {"HEMEXP_NUM_CORES": "1"}) for number in range(4)]
    pool = Pool(places, LocalConfig("local"), tmp_path / "log", WORK, num_cores=8)
    pool.submit(tasks(tmp_path / "two", [{"seconds": 0.3}] * 2))
    finish(pool)
    pool = Pool(places, LocalConfig("local"), tmp_path / "log", WORK, num_cores=8)
    pool.submit(tasks(tmp_path / "many", [{"seconds": 0.1}] * 9))
    finish(pool)
    cores = {
        name: [json.loads(path.read_text())["cores"] for path in (tmp_path / name).glob("*/ran.json")]
        for name in ("two", "many")
    }
    assert cores["two"] == ["4", "4"]
    assert set(cores["many"][:4]) <= {"2", "4", "8"}
    assert cores["many"].count("2") >= 6


def test_the_costliest_begin_first_and_batches_before_all(tmp_path: Path):
    pool = Pool([], LocalConfig("local"), tmp_path / "log", WORK)
    given = tasks(tmp_path / "s", [{"seconds": 0.1}] * 4)
    costs = [("job", 9.0), ("batch", 1.0), ("batch", 5.0), ("job", 20.0)]
    pool.submit([replace(task, kind=kind, cost=cost) for task, (kind, cost) in zip(given, costs, strict=True)])
    order = [heapq.heappop(pool._waiting)[-1].cost for _ in range(4)]
    assert order == [5.0, 1.0, 20.0, 9.0]
