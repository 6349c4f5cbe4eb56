"""A process for each item, with items that sleep, die and hang; devices are simulated by their names."""

import getpass
import heapq
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fake_items import build_items, build_runner, finish, wait_until

from hemexp.config import LocalConfig
from hemexp.runner import launch
from hemexp.runner.launch import start_server
from hemexp.runner.local import Device, LocalRunner
from hemexp.sweep.backends.base import ItemResult, WorkItem

HERE = Path(__file__).parent
SEARCHED = os.pathsep.join(map(str, (HERE, HERE.parent / "sweep", HERE.parent.parent)))  # of other programs


@pytest.fixture(autouse=True)
def _processes_can_import_fake_run_item(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
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
    backend = build_runner(build_devices(4), LocalConfig("local"))
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
    backend = build_runner(build_devices(2), LocalConfig("local", silence_timeout=2))
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
    backend = build_runner(build_devices(2), where)
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
        f"backend = build_runner(build_devices(2, {slots}), LocalConfig('local'))\n"
        "backend.submit(build_items(directory / 's', [{'seconds': 0.4}] * 6))\n"
        "assert {e.outcome for e in finish(backend).values()} == {'done'}"
    )
    sweeps = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        env = {**os.environ, "PYTHONPATH": SEARCHED}
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
    backend = build_runner(build_devices(1), LocalConfig("local"))
    backend.submit(build_items(tmp_path / "s", [{"seconds": 30}, {"seconds": 20}]))
    while not (tmp_path / "s" / "0" / "began").exists():
        backend.wait(0.1)
    backend.stop()
    (event,) = finish(backend).values()
    assert (event.outcome, event.message) == ("interrupted", "stopped")
    assert not (tmp_path / "s" / "1" / "began").exists()


LAUNCHER = """
import sys, time
from pathlib import Path
from test_local import *
directory = Path(sys.argv[1])
runner = LocalRunner([Device("cpu 0")], "fake_functions:start_grandchild")
runner.submit([Item(directory)])
while not (directory / "began").exists():
    runner.wait(0.1)
print((directory / "began").read_text(), flush=True)
time.sleep(60)
"""


@dataclass(frozen=True)
class Item:
    """A work item for the functions in `fake_functions`."""

    value: object
    order: int = 0


def limit_silence(item: object, running: float, silent: float) -> str:
    return "too silent" if silent > 2 else ""


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]
    except OSError:
        return False


def run_all(runner: LocalRunner, items: list[Item], seconds: float = 120) -> list[ItemResult]:
    runner.submit(items)
    events = wait_until(lambda: runner.idle, runner, seconds)
    runner.close()
    return [event for event in events if isinstance(event, ItemResult)]


def test_no_process_outlives_the_launcher_by_more_than_a_second(tmp_path: Path):
    """The launcher is killed; its process, and the program that this one started, end at once."""
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": SEARCHED}
    launcher = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    child, grandchild, server = map(int, launcher.stdout.readline().split())
    assert is_alive(child)
    assert is_alive(grandchild)
    assert is_alive(server)
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    time.sleep(1)
    assert not is_alive(child)
    assert not is_alive(grandchild)
    time.sleep(1)
    assert not is_alive(server)


def test_an_item_gets_the_environment_of_its_launcher_and_device_and_its_cores(monkeypatch: pytest.MonkeyPatch):
    """The server was started earlier, with another environment."""
    start_server()
    monkeypatch.setenv("HEMEXP_TEST", "set later")
    monkeypatch.delenv("HOME")
    (event,) = run_all(
        LocalRunner([Device("gpu 7", {"CUDA_VISIBLE_DEVICES": "7"})], "fake_functions:get_environment", num_cores=1),
        [Item(None)],
    )
    environment, threads = event.value
    assert environment["HEMEXP_TEST"] == "set later"
    assert environment["CUDA_VISIBLE_DEVICES"] == "7"
    assert environment["HEMEXP_NUM_CORES"] == "1"
    assert "HOME" not in environment
    assert set(threads) == {1}


def test_a_large_result_of_tensors_survives_its_process():
    (event,) = run_all(LocalRunner([Device("cpu 0")], "fake_functions:make_tensor"), [Item(20_000_000)])
    assert event.outcome == "done"
    assert float(event.value.double().sum()) == 20_000_000


def test_an_exception_has_its_traceback_and_one_that_cannot_be_sent_has_its_text():
    runner = LocalRunner([Device("cpu 0")], "fake_functions:fail")
    first, second = run_all(runner, [Item("sent", 0), Item("not sent", 1)])
    assert first.outcome == second.outcome == "failed"
    assert isinstance(first.value, ValueError)
    assert "in fail" in first.value.__notes__[0]
    assert "cannot be sent" in str(second.value)


def test_a_stopped_process_in_the_middle_of_its_result_does_not_block_the_launcher():
    """Its signs of life end, so that it is killed."""
    runner = LocalRunner([Device("a"), Device("b")], "fake_functions:stop_itself", limit_silence)
    events = run_all(runner, [Item("stops"), Item("goes on", 1)])
    outcomes = {event.item.value: event for event in events}
    assert outcomes["goes on"].outcome == "done"
    assert (outcomes["stops"].outcome, outcomes["stops"].message) == ("timeout", "too silent")


def test_items_end_and_start_after_the_server_was_killed(tmp_path: Path):
    runner = LocalRunner([Device("a"), Device("b")], "fake_functions:kill_server")
    events = run_all(runner, [Item(tmp_path / "killed", number) for number in range(4)])
    assert (tmp_path / "killed").exists()
    assert [event.outcome for event in events] == ["done"] * 4


def test_a_function_that_is_not_there_is_an_error_of_its_item():
    (event,) = run_all(LocalRunner([Device("cpu 0")], "no_such_module:run"), [Item(None)])
    assert event.outcome == "failed"
    assert "no_such_module" in event.message


def test_a_program_that_an_item_has_started_ends_with_it():
    (event,) = run_all(LocalRunner([Device("cpu 0")], "fake_functions:leave_program"), [Item(None)])
    assert event.outcome == "done"
    assert not is_alive(event.value)


def test_an_item_may_run_items_and_these_come_from_the_same_server():
    """A second server would import PyTorch again."""
    (event,) = run_all(LocalRunner([Device("cpu 0")], "fake_functions:run_nested"), [Item(3)])
    server, servers, values = event.value
    assert servers == {server}
    assert values == [0, 1, 4]


def test_a_result_that_is_being_sent_when_the_runner_is_stopped_arrives(tmp_path: Path):
    runner = LocalRunner([Device("cpu 0")], "fake_functions:return_slowly")
    runner.submit([Item(tmp_path / "sending")])
    wait_until((tmp_path / "sending").exists, runner)
    runner.stop()
    (event,) = [event for event in wait_until(lambda: runner.idle, runner) if isinstance(event, ItemResult)]
    runner.close()
    assert (event.outcome, event.value.text) == ("done", "whole")


def test_a_runner_that_is_stopped_while_the_server_starts_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def start_slowly(connection):
        time.sleep(2)
        processes.append(launch.Process(connection))
        return processes[-1]

    processes: list[launch.Process] = []
    monkeypatch.setattr("hemexp.runner.local.Process", start_slowly)
    runner = LocalRunner([Device("a"), Device("b")], "fake_functions:start_grandchild")
    runner.submit([Item(tmp_path, number) for number in range(4)])
    runner.stop()
    assert runner.idle
    runner.close()
    time.sleep(4)
    assert len(processes) == 2
    assert not any(is_alive(process.pid) for process in processes)
    assert list(tmp_path.glob("*")) == []


def test_the_server_imports_the_code_of_its_launcher_and_no_file_of_the_current_directory(tmp_path: Path):
    """The launcher has found its code without PYTHONPATH, as a script does in its own folder."""
    (tmp_path / "statistics.py").write_text("raise RuntimeError('of the current directory')")
    code = (
        "from test_local import *\n"
        "import hemexp\n"
        "(event,) = run_all(LocalRunner([Device('a')], 'fake_functions:describe_code'), [Item(None)])\n"
        "print(event.value == (hemexp.__file__, True) or event)"
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "program.py").write_text(f"import sys\nsys.path[1:1] = {SEARCHED.split(os.pathsep)}\n{code}")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "folder/program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


def test_an_object_of_the_program_itself_is_refused_with_the_rule(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Item, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Item", Item, raising=False)
    (event,) = run_all(LocalRunner([Device("cpu 0")], "fake_functions:square"), [Item(None)])
    assert event.outcome == "failed"
    assert "rule: another process gets only what a module defines" in event.message


@pytest.mark.slow
def test_without_forks_processes_are_spawned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(launch, "HAS_FORK", False)
    runner = LocalRunner([Device("a"), Device("b")], "fake_functions:stop_itself", limit_silence)
    outcomes = {event.item.value: event.outcome for event in run_all(runner, [Item("stops"), Item("goes on", 1)])}
    assert outcomes == {"stops": "timeout", "goes on": "done"}


@pytest.mark.parametrize("how", ["script", "-c", "stdin"])
def test_a_program_needs_no_main_guard_and_is_not_run_again(how: str, tmp_path: Path):
    code = (
        "from test_local import *\n"
        "print('started', flush=True)\n"
        "events = run_all(LocalRunner([Device('a')], 'fake_functions:square'), [Item(1, n) for n in range(3)])\n"
        "print([event.value for event in events])"
    )
    (tmp_path / "program.py").write_text(code)
    arguments = {"script": ["program.py"], "-c": ["-c", code], "stdin": ["-"]}[how]
    env = {**os.environ, "PYTHONPATH": SEARCHED}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=env, input=code, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == ["started", "[0, 1, 4]"], done.stderr
    assert done.stderr == ""


def test_the_server_does_not_ask_for_a_gpu():
    """A process that has initialized CUDA cannot be forked."""
    code = (
        "import os, torch\n"
        "def refuse(*_): raise RuntimeError('the server asked for a GPU')\n"
        "torch.cuda.is_available = torch.cuda.device_count = torch.cuda._lazy_init = refuse\n"
        "import hemexp.runner.preload, sys, threading\n"
        "assert not torch.cuda.is_initialized()\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert os.environ['OMP_NUM_THREADS'] == '1'\n"
        "assert 'hemexp.commands.train' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, start_new_session=False)
    assert done.returncode == 0, done.stderr


def test_a_job_fails_at_once_if_its_device_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for directory in (tmp_path / "leases", tmp_path / f"hemexp-devices-{getpass.getuser()}"):
        (directory / "gpu-0.0.lock").mkdir(parents=True)  # in the place of the lock file
    backend = build_runner(build_devices(1), LocalConfig("local"))
    backend.submit(build_items(tmp_path / "s", [{"seconds": 0.1}]))
    (event,) = finish(backend).values()
    assert event.outcome == "failed"
    assert "gpu-0 cannot be locked" in event.message


def test_fewer_items_get_more_cores_each(tmp_path: Path):
    cpus = [Device(f"cpu {number}", {"HEMEXP_NUM_CORES": "1"}) for number in range(4)]
    backend = build_runner(cpus, LocalConfig("local"), num_cores=8)
    backend.submit(build_items(tmp_path / "two", [{"seconds": 0.3}] * 2))
    finish(backend)
    backend = build_runner(cpus, LocalConfig("local"), num_cores=8)
    backend.submit(build_items(tmp_path / "many", [{"seconds": 0.1}] * 9))
    finish(backend)
    cores = {
        name: [json.loads(path.read_text())["cores"] for path in (tmp_path / name).glob("*/ran.json")]
        for name in ("two", "many")
    }
    assert cores["two"] == ["4", "4"]
    assert set(cores["many"][:4]) <= {"2", "4", "8"}
    assert cores["many"].count("2") >= 6


def test_gpus_train_and_cores_finish_jobs(tmp_path: Path):
    devices = [Device("gpu 0", {"CUDA_VISIBLE_DEVICES": "0"}, trains=True), Device("cpu 0", trains=False)]
    backend = build_runner(devices, LocalConfig("local"))
    items = build_items(tmp_path / "s", [{"seconds": 0.2}] * 4)
    backend.submit([replace(item, on_device=number < 2) for number, item in enumerate(items)])
    assert (backend.capacity, backend.num_finishers, backend.trains_and_finishes) == (1, 1, False)
    ended = finish(backend)
    assert [ended[number].device for number in range(4)] == ["gpu 0", "gpu 0", "cpu 0", "cpu 0"]
    assert ended[2].started < ended[1].started  # the cores do not wait for the GPU


def test_jobs_that_only_finish_start_first_then_the_first_wave_then_the_most_expensive_items(tmp_path: Path):
    backend = build_runner([], LocalConfig("local"))
    items = build_items(tmp_path / "s", [{"seconds": 0.1}] * 5)
    changes = [("fits", 1, 99.0), ("fits", 0, 1.0), ("fits", 0, 5.0), ("job", 0, 3.0), ("job", 0, 20.0)]
    backend.submit(
        [
            replace(each, kind=kind, wave=wave, cost=cost)
            for each, (kind, wave, cost) in zip(items, changes, strict=True)
        ]
    )
    order = [heapq.heappop(backend._queue)[-1].cost for _ in range(5)]
    assert order == [20.0, 3.0, 5.0, 1.0, 99.0]
