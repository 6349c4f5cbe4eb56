"""Jobs on a simulated Slurm (fake_slurm.py), through submitit and Slurm's commands as on a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_slurm
import pytest
from fake_items import FAKE_RUN_ITEM, build_items, finish, wait_until
from small import FAST, PLUGIN, QUIET, ROOT

from hemexp.config import SlurmConfig
from hemexp.errors import UserError
from hemexp.sweep.backends.base import Heartbeat, ItemResult, WorkItem
from hemexp.sweep.backends.slurm import SlurmBackend, build_parameters, check, query_states

HERE = Path(__file__).parent


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Slurm's commands on the PATH; returns the directory of its state."""
    commands, state = fake_slurm.install(tmp_path / "bin"), tmp_path / "slurm"
    state.mkdir()
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(state))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    yield state
    fake_slurm.scancel(*{key.split("_")[0] for key in fake_slurm.known_jobs()})


def start_backend(directory: Path, **settings) -> SlurmBackend:
    backend = SlurmBackend(SlurmConfig("slurm", **settings), directory, "cpu")
    backend.function = FAKE_RUN_ITEM
    backend.poll_interval, backend.query_interval, backend.result_delay = 0.05, 0.3, 0.3
    return backend


@pytest.mark.slow
def test_an_array_runs_every_job_and_respects_the_limit_on_parallel_jobs(slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path, max_parallel=2, cpus_per_job=3)
    backend.submit(build_items(tmp_path, [{"seconds": 1.5}] * 4))
    events = wait_until(lambda: backend.idle, backend)
    ended = [event for event in events if isinstance(event, ItemResult)]
    assert sorted(event.item.jobs[0].number for event in ended) == [0, 1, 2, 3]
    assert {event.outcome for event in ended} == {"done"}
    assert all(event.device and event.started < event.ended for event in ended)
    assert sum(event.epochs for event in events if isinstance(event, Heartbeat)) >= 4 * 3
    ran = [json.loads((tmp_path / f"{number}/ran.json").read_text()) for number in range(4)]
    most = max(sum(one["began"] <= other["began"] < one["ended"] for one in ran) for other in ran)
    assert most <= 2
    assert fake_slurm.known_jobs() == ["1_0", "1_1", "1_2", "1_3"]
    options = fake_slurm.known("1_0")["options"]
    assert options["array"] == "0-3%2"
    assert options["cpus-per-task"] == "3"
    assert "no-requeue" in options
    assert "gpus-per-node" not in options
    assert not list(tmp_path.glob(".slurm/*.beat"))


@pytest.mark.parametrize("accounts", ["on", "off"])
def test_a_job_that_dies_fails_or_is_cancelled_does_not_affect_the_others(
    accounts: str, slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAKE_SLURM_ACCOUNTS", accounts)
    backend = start_backend(tmp_path)
    backend.submit(
        build_items(tmp_path, [{"seconds": 0.2}, {"do": "die"}, {"do": "fail"}, {"do": "hang"}, {"do": "exit"}])
    )
    events = wait_until((tmp_path / "3/began").exists, backend)
    fake_slurm.scancel("1_3")
    ended = {event.item.jobs[0].number: event for event in events if isinstance(event, ItemResult)} | finish(backend)
    assert [ended[number].outcome for number in range(5)] == ["done", "killed", "failed", "killed", "killed"]
    assert "FAILED, exit code 137:0" in ended[1].message
    assert ended[2].message == "ValueError: as planned"
    assert ended[3].message.startswith("Slurm: CANCELLED")
    assert ended[3].message.endswith("(Slurm job 1_3); its state is saved")
    assert "exit code 3:0" in ended[4].message
    assert str(tmp_path / ".slurm" / "1_4_0_log.err") in ended[4].message


@pytest.mark.slow
def test_a_job_is_interrupted_before_slurms_time_limit_and_killed_if_it_ignores_that(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAKE_SLURM_MINUTE", "8")
    backend = start_backend(tmp_path, time_minutes=1)
    backend.submit(build_items(tmp_path, [{"seconds": 60}, {"do": "ignore signals"}]))
    ended = finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["timeout", "timeout"]
    assert "state is saved" in ended[0].message
    assert "Slurm: TIMEOUT: where.time_minutes=1 is too little" in ended[1].message


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["job_timeout", "silence_timeout"])
def test_a_job_that_hangs_is_cancelled(limit: str, slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path, **{limit: 1.0})
    backend.submit(build_items(tmp_path, [{"do": "hang"}, {"seconds": 0.1}]))
    ended = finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["timeout", "done"]
    assert f"where.{limit}=1 s" in ended[0].message
    assert "CANCELLED" in fake_slurm.known("1_0")["why"]


def test_stopping_cancels_pending_jobs_and_lets_running_ones_save_their_state(slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path, max_parallel=1)
    backend.submit(build_items(tmp_path, [{"seconds": 60}, {"seconds": 60}]))
    wait_until((tmp_path / "0/began").exists, backend)
    backend.stop()
    ended = finish(backend)
    assert {number: (event.outcome, event.message) for number, event in ended.items()} == {
        0: ("interrupted", "stopped")
    }
    assert fake_slurm.known("1_1")["state"].startswith("CANCELLED")
    assert not (tmp_path / "1" / "began").exists()


def test_closing_cancels_all_remaining_jobs(slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path, max_parallel=1)
    backend.submit(build_items(tmp_path, [{"do": "hang"}, {"seconds": 1}]))
    wait_until((tmp_path / "0/began").exists, backend)
    backend.close()
    assert backend.idle
    until = time.monotonic() + 10
    while not all(fake_slurm.known(key)["state"].startswith("CANCELLED") for key in ("1_0", "1_1")):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_without_accounting_a_job_that_slurm_has_forgotten_is_lost(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAKE_SLURM_ACCOUNTS", "off")
    monkeypatch.setenv("FAKE_SLURM_FORGETS", "yes")
    backend = start_backend(tmp_path)
    backend.submit(build_items(tmp_path, [{"do": "die"}, {"seconds": 1}]))
    ended = finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["killed", "done"]
    assert "not in the queue any more" in ended[0].message


def test_a_new_start_ends_the_jobs_of_one_that_was_killed(slurm: Path, tmp_path: Path):
    killed = start_backend(tmp_path, max_parallel=1)
    killed.submit(build_items(tmp_path, [{"seconds": 60}, {"seconds": 60}]))
    wait_until((tmp_path / "0/began").exists, killed)
    start_backend(tmp_path)
    assert all(fake_slurm.known(key)["state"].startswith("CANCELLED") for key in ("1_0", "1_1"))
    ended = finish(killed)
    assert ended[0].message.endswith("its state is saved")


def test_a_single_job_that_runs_out_of_memory_is_reported_with_the_key_to_change(slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path, memory_gb=0.5)
    backend.submit(build_items(tmp_path, [{"do": "hang"}]))
    wait_until((tmp_path / "0/began").exists, backend)
    assert fake_slurm.known("1")["options"]["mem"] == "512M"
    fake_slurm.note("1", why="OUT_OF_MEMORY")
    fake_slurm.send(fake_slurm.known("1")["pid"], signal.SIGKILL)
    ended = finish(backend)
    assert ended[0].outcome == "killed"
    assert "OUT_OF_MEMORY: where.memory_gb=0.5 is too little" in ended[0].message


def test_the_signal_of_submitit_does_not_requeue_a_job(slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path)
    backend.submit(build_items(tmp_path, [{"seconds": 60}]))
    wait_until((tmp_path / "0/began").exists, backend)
    fake_slurm.scancel("--signal=USR2", "1")
    ended = finish(backend)
    assert ended[0].outcome == "killed"
    assert "its state is saved" in ended[0].message
    wait_until(lambda: fake_slurm.known("1")["state"] == "COMPLETED", backend)


def test_the_message_of_sbatch_is_shown_when_it_refuses_the_jobs(slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path, partition="nowhere")
    with pytest.raises(UserError, match=r"where=slurm: sbatch refuses the jobs: .*Invalid partition name"):
        backend.submit(build_items(tmp_path, [{"seconds": 1}]))


def test_more_jobs_than_an_array_can_hold_are_submitted_as_several_arrays(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hemexp.sweep.backends.slurm._MAX_ARRAY", 2)
    backend = start_backend(tmp_path, max_parallel=4)
    backend.submit(build_items(tmp_path, [{"seconds": 0.1}] * 3))
    assert {event.outcome for event in finish(backend).values()} == {"done"}
    assert fake_slurm.known_jobs() == ["1_0", "1_1", "2"]


def test_a_refused_array_of_the_first_call_cancels_the_arrays_before_it(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hemexp.sweep.backends.slurm._MAX_ARRAY", 1)
    monkeypatch.setenv("FAKE_SLURM_MOST", "2")
    backend = start_backend(tmp_path)
    with pytest.raises(UserError, match="MaxSubmitJobs"):
        backend.submit(build_items(tmp_path, [{"do": "hang"}] * 3))
    wait_until(lambda: all("CANCELLED" in str(fake_slurm.known(key)) for key in ("1", "2")), backend)
    assert fake_slurm.known_jobs() == ["1", "2"]
    assert backend.idle


def test_jobs_refused_after_the_first_call_fail_and_the_others_continue(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hemexp.sweep.backends.slurm._MAX_ARRAY", 1)
    backend = start_backend(tmp_path)
    first, *others = build_items(tmp_path, [{"seconds": 1}, {"seconds": 0.1}, {"seconds": 0.1}, {"seconds": 0.1}])
    backend.submit([first])
    monkeypatch.setenv("FAKE_SLURM_MOST", "2")
    backend.submit(others[:2])
    ended = finish(backend)
    assert [ended[number].outcome for number in range(3)] == ["done", "done", "failed"]
    assert ended[2].message.startswith("where=slurm: sbatch refuses the jobs: ")
    assert "MaxSubmitJobs" in ended[2].message
    assert "\n" not in ended[2].message
    monkeypatch.delenv("FAKE_SLURM_MOST")
    backend.submit(others[2:])
    assert finish(backend)[3].outcome == "done"


@pytest.mark.slow
def test_a_batch_may_take_the_time_limit_once_for_each_of_its_jobs(slurm: Path, tmp_path: Path):
    backend = start_backend(tmp_path, job_timeout=1.5)
    three = tuple(item.jobs[0] for item in build_items(tmp_path, [{"seconds": 2.5}] * 3))
    backend.submit([WorkItem("fits", three)])
    assert finish(backend)[0].outcome == "done"
    backend.submit([WorkItem("job", three[:1])])
    assert finish(backend)[0].message == "took longer than where.job_timeout=1.5 s"


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{}, {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}])
def test_a_single_run_in_a_slurm_allocation_ignores_its_number_of_tasks(
    variables: dict[str, str], slurm: Path, run_command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = run_command("train.py", "output_dir=run", *FAST)
    assert done.returncode == 0, done.stderr
    assert "srun" not in done.stderr
    assert (tmp_path / "run" / "DONE").is_file()


def test_options_and_keys_become_parameters_of_sbatch():
    options = {"setup": "module load cuda", "qos": "long", "gpu-bind": "single:1", "mem-per-cpu": "2G"}
    where = SlurmConfig("slurm", partition="gpu", time_minutes=30, options=options)
    parameters = build_parameters(where, "gpu")
    assert parameters["gpus_per_node"] == 1
    assert (parameters["partition"], parameters["qos"], parameters["time"], parameters["mem_per_cpu"]) == (
        "gpu",
        "long",
        30,
        "2G",
    )
    assert "mem" not in parameters
    assert "account" not in parameters
    assert parameters["setup"][0] == "module load cuda"
    assert parameters["additional_parameters"] == {"gpu_bind": "single:1", "signal": "INT@120", "no-requeue": True}
    assert "gpus_per_node" not in build_parameters(SlurmConfig("slurm", gpus_per_job=0), "gpu")


def test_unknown_jobs_are_left_out_of_the_states(slurm: Path):
    assert query_states(["7_0"]) == {}


def test_missing_packages_and_commands_and_reserved_options_are_refused(slurm: Path, monkeypatch: pytest.MonkeyPatch):
    check(SlurmConfig("slurm"), "cpu")
    with pytest.raises(UserError, match=r"where\.options=\{ntasks: "):
        check(SlurmConfig("slurm", options={"ntasks": 2}), "cpu")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "submitit", None)
        with pytest.raises(UserError, match=r"hemexp\[slurm\]"):
            check(SlurmConfig("slurm"), "cpu")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        with pytest.raises(UserError, match="sbatch, srun, scancel not found on the PATH"):
            check(SlurmConfig("slurm"), "cpu")


@pytest.mark.slow
def test_a_login_node_needs_no_gpu(slurm: Path, run_command: Callable, tmp_path: Path):
    gpu = ("trainer.accelerator=gpu", "seed=0,1", "hydra.sweep.dir=s", "where.partition=nowhere")
    done = run_command("train.py", "-m", "where=slurm", *gpu)
    assert done.returncode == 2
    assert "sbatch refuses the jobs" in done.stderr
    (script,) = (tmp_path / "s" / ".slurm").glob("*.sh")
    assert "#SBATCH --gpus-per-node=1" in script.read_text()
    alone = run_command("train.py", "trainer.accelerator=gpu")
    assert alone.returncode == 2
    assert "finds no CUDA GPU on this machine" in alone.stderr


@pytest.mark.slow
def test_a_model_of_a_plugin_is_trained_on_slurm(slurm: Path, run_command: Callable, tmp_path: Path):
    (tmp_path / "my_code.py").write_text(PLUGIN)
    sweep = ["where=slurm", "model=of_a_plugin,mlp", "plugins=[my_code]", "hydra.sweep.dir=s"]
    done = run_command("train.py", "-m", *sweep, *FAST)
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout


@pytest.mark.slow
def test_a_sweep_runs_on_slurm_and_the_next_start_runs_only_the_lost_jobs(
    slurm: Path, run_command: Callable, tmp_path: Path
):
    sweep = ["train.py", "-m", "where=slurm", "where.max_parallel=2", "where.memory_gb=3", "hydra.sweep.dir=s"]
    sweep += ["optimizer.lr=1e-3,2.0e-3,1e30", *FAST]
    done = run_command(*sweep)
    assert done.returncode == 1, done.stderr
    assert "2 done, 1 failed" in done.stdout
    assert [(tmp_path / "s" / number / "DONE").is_file() for number in "012"] == [True, True, False]
    assert "optimizer.lr=1e+30: the training loss is NaN or infinite" in (tmp_path / "s/2/train.log").read_text()
    # the fits of jobs 1 and 2; job 0, which trains alone; jobs 1 and 2 with their fits; job 2 again
    assert fake_slurm.known_jobs() == ["1", "2", "3_0", "3_1", "4"]
    assert (tmp_path / "s/.slurm/4_0_log.out").is_file()
    assert fake_slurm.known("3_0")["options"]["array"] == "0-1%2"
    config = json.loads((tmp_path / "s/0/result.json").read_text())["config"]
    assert config["where"]["name"] == "slurm"

    run_command(*sweep)
    assert fake_slurm.known_jobs() == ["1", "2", "3_0", "3_1", "4", "5", "6"]


@pytest.mark.slow
def test_after_ctrl_c_slurm_jobs_are_continued_by_the_next_start(slurm: Path, tmp_path: Path):
    settings = ["trainer.max_epochs=1000", "trainer.stop_loss=null", "trainer.checkpoint_every=20", *QUIET]
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "-m",
        "where=slurm",
        "where.max_parallel=1",
        "model.kernel_size=5,3",
    ]
    first = subprocess.Popen([*command, "hydra.sweep.dir=s", *settings], cwd=tmp_path, stderr=subprocess.PIPE)
    last = tmp_path / "s/0/checkpoints/last.ckpt"
    until = time.monotonic() + 120
    while not last.exists():
        assert first.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 1, errors
    assert "interrupted" in json.loads((tmp_path / "s/0/result.json").read_text())["status"]
    assert fake_slurm.known("1_1")["state"].startswith("CANCELLED")
    assert not (tmp_path / "s/1/train.log").exists()

    again = subprocess.run([*command, "hydra.sweep.dir=s", *settings], cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resuming from" in (tmp_path / "s/0/train.log").read_text()
