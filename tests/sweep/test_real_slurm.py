"""Jobs on a real Slurm (real_slurm.py), whose controller, node and commands are Debian's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_items import FAKE_RUN_ITEM, build_items, finish, wait_until
from real_slurm import RealSlurm, unpack
from small import QUIET, ROOT

from hemexp.config import SlurmConfig
from hemexp.sweep.backends.base import ItemResult
from hemexp.sweep.backends.slurm import SlurmBackend

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSlurm]:
    running = RealSlurm(unpack(request.config.cache.mkdir("slurm")), tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield running
    running.close()


def start_backend(directory: Path, **settings) -> SlurmBackend:
    backend = SlurmBackend(SlurmConfig("slurm", **{"memory_gb": 0.5, **settings}), directory, "cpu")
    backend.function = FAKE_RUN_ITEM
    backend.poll_interval, backend.query_interval, backend.result_delay = 0.2, 1.0, 1.0
    return backend


def get_job_id(backend: SlurmBackend, number: int) -> str:
    return next(remote.handle.job_id for remote in backend.items if remote.item.jobs[0].number == number)


def test_each_job_of_an_array_ends_with_the_reason_that_slurm_knows(slurm: RealSlurm, tmp_path: Path):
    backend = start_backend(tmp_path)
    actions = ["die", "fail", "exit", "hang", "fill the memory"]
    backend.submit(build_items(tmp_path, [{"seconds": 0.2}, *({"do": action} for action in actions)]))
    events = wait_until((tmp_path / "4/began").exists, backend)
    slurm.run("scancel", get_job_id(backend, 4))
    ended = {event.item.jobs[0].number: event for event in events if isinstance(event, ItemResult)} | finish(backend)
    assert [ended[number].outcome for number in range(6)] == ["done", "killed", "failed", "killed", "killed", "killed"]
    assert "Slurm: FAILED, exit code 137:0: its process was killed" in ended[1].message
    assert ended[2].message == "ValueError: as planned"
    assert "Slurm: FAILED, exit code 3:0 (Slurm job" in ended[3].message
    assert "Slurm: CANCELLED (Slurm job" in ended[4].message
    assert "perhaps where.memory_gb=0.5 is too little" in ended[5].message
    assert "exceeded memory limit" in Path(ended[5].message.split("; ")[-1].rstrip(")")).read_text()


@pytest.mark.nightly
def test_a_job_is_interrupted_before_slurms_time_limit_and_killed_if_it_ignores_that(slurm: RealSlurm, tmp_path: Path):
    backend = start_backend(tmp_path, time_minutes=1)
    backend.submit(build_items(tmp_path, [{"seconds": 200}, {"do": "ignore signals"}]))
    ended = finish(backend)
    assert [ended[number].outcome for number in range(2)] == ["timeout", "timeout"]
    assert "where.time_minutes=1 is too little (Slurm job" in ended[0].message
    assert "Slurm: TIMEOUT: where.time_minutes=1 is too little" in ended[1].message


def test_jobs_on_a_node_that_fails_are_not_requeued(slurm: RealSlurm, tmp_path: Path):
    backend = start_backend(tmp_path)
    backend.submit(build_items(tmp_path, [{"do": "ignore signals"}]))
    wait_until((tmp_path / "0/began").exists, backend)
    node = slurm.run("sinfo", "--noheader", "--format=%n").strip()
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        ended = finish(backend)
    finally:
        slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
    assert ended[0].outcome == "killed"
    assert "Slurm: NODE_FAIL" in ended[0].message


def test_stopping_cancels_pending_jobs_and_lets_running_ones_save_their_state(slurm: RealSlurm, tmp_path: Path):
    backend = start_backend(tmp_path, max_parallel=1)
    backend.submit(build_items(tmp_path, [{"seconds": 60}, {"seconds": 60}]))
    wait_until((tmp_path / "0/began").exists, backend)
    second = get_job_id(backend, 1)
    backend.stop()
    ended = finish(backend)
    assert {number: (event.outcome, event.message) for number, event in ended.items()} == {
        0: ("interrupted", "stopped")
    }
    assert slurm.show(second)["JobState"] == "CANCELLED"
    assert not (tmp_path / "1" / "began").exists()


ALONE, TOGETHER = (
    "model.kernel_size=5,3",
    "seed=0,1",
)  # each job trains its network; both networks are trained in one item


def start_sweep(directory: Path, swept: str, *settings: str) -> "subprocess.Popen[str]":
    training = ["trainer.max_epochs=500", "trainer.stop_loss=null", "trainer.checkpoint_every=10", *QUIET]
    command = [sys.executable, str(ROOT / "train.py"), "-m", "hydra.sweep.dir=s", swept, *training, *settings]
    return subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def finish_sweep(process: "subprocess.Popen[str]") -> None:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, output + errors


def read_predictions(sweep_directory: Path) -> list[bytes]:
    return [(sweep_directory / number / "predictions.csv").read_bytes() for number in "01"]


def run_here(directory: Path, swept: str) -> Path:
    """Run the same sweep on this machine."""
    directory.mkdir()
    finish_sweep(start_sweep(directory, swept))
    return directory / "s"


def test_a_sweep_has_the_files_and_the_numbers_that_it_has_on_this_machine(slurm: RealSlurm, tmp_path: Path):
    finish_sweep(start_sweep(tmp_path, TOGETHER, "where=slurm", "where.memory_gb=2", "where.max_parallel=1"))
    local = run_here(tmp_path / "here", TOGETHER)
    on_slurm, here = (sorted(path.name for path in (one / "0").iterdir()) for one in (tmp_path / "s", local))
    assert on_slurm == here
    assert read_predictions(tmp_path / "s") == read_predictions(local)
    timeline = (tmp_path / "s" / "timeline.csv").read_text()
    assert "\nfits,0 1," in timeline
    assert "\njobs,0 1," in timeline


def test_a_sweep_that_is_killed_and_then_stopped_is_continued_by_the_same_command(slurm: RealSlurm, tmp_path: Path):
    settings = [ALONE, "where=slurm", "where.memory_gb=2", "where.max_parallel=1"]
    job, last = tmp_path / "s" / "0", tmp_path / "s" / "0" / "checkpoints" / "last.ckpt"
    killed = start_sweep(tmp_path, *settings)
    wait_for(last.exists, killed)
    killed.kill()
    killed.communicate()
    assert set(slurm.run("squeue", "--noheader", "--array", "--format=%T").split()) == {"RUNNING", "PENDING"}
    running = slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%A").strip()
    slurm.run("scontrol", "suspend", running)  # or it could end before the next start

    stopped = start_sweep(tmp_path, *settings)
    wait_for(lambda: "resuming from" in (job / "train.log").read_text(), stopped)
    stopped.send_signal(signal.SIGINT)
    stopped.communicate()
    assert stopped.returncode == 1
    assert "interrupted" in json.loads((job / "result.json").read_text())["status"]
    assert not (tmp_path / "s" / "1" / "train.log").exists()
    wait_for(lambda: not slurm.run("squeue", "--noheader"))

    finish_sweep(start_sweep(tmp_path, *settings))
    assert (job / "train.log").read_text().count("resuming from") == 2
    assert read_predictions(tmp_path / "s") == read_predictions(run_here(tmp_path / "here", ALONE))
