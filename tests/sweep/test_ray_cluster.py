"""Jobs on a Ray cluster of a head and two nodes on this machine; nodes die while jobs run."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_items import FAKE_RUN_ITEM, build_items, finish, wait_until
from small import QUIET, ROOT

from hemexp.config import RayConfig
from hemexp.sweep.backends.ray import RayBackend

pytestmark = [
    pytest.mark.slow,
    # Ray closes its processes and sockets at the end of this process
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without CPUs for jobs, and two nodes with one CPU each."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        started.add_node(num_cpus=1)
    yield started
    started.shutdown()


def kill_node(cluster: Any) -> None:
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)


def test_when_all_nodes_die_running_and_waiting_jobs_have_ended(cluster: Any, tmp_path: Path):
    backend = RayBackend(RayConfig("ray", address=cluster.address), tmp_path, "cpu")
    backend.function = FAKE_RUN_ITEM
    backend.poll_interval = backend.query_interval = 0.2
    assert backend.capacity == 2
    backend.submit(build_items(tmp_path, [{"seconds": 60}] * 4))
    wait_until(lambda: len(list(tmp_path.glob("*/began"))) == 2, backend)
    kill_node(cluster)
    kill_node(cluster)
    ended = finish(backend)
    assert [ended[number].outcome for number in range(4)] == ["killed"] * 4
    assert all("its process or its node ended: NodeDiedError" in ended[number].message for number in range(2))
    assert all("no node of this Ray has that (at most 0 CPU" in ended[number].message for number in range(2, 4))


def test_a_sweep_continues_when_a_node_dies_and_the_same_command_runs_its_jobs_again(cluster: Any, tmp_path: Path):
    training = ["trainer.max_epochs=500", "trainer.stop_loss=null", "trainer.checkpoint_every=10", *QUIET]
    program = [sys.executable, str(ROOT / "train.py"), *training]
    command = [
        *program,
        "hydra.sweep.dir=s",
        "model.kernel_size=3,5,7",
        "where=ray",
        f"where.address={cluster.address}",
        "-m",
    ]
    started = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, **started)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("s/*/checkpoints/last.ckpt"))) < 2:
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    kill_node(cluster)
    output, errors = first.communicate(timeout=300)
    assert first.returncode == 1
    assert "1 killed" in output
    assert "2 done" in output
    assert "its process or its node ended: NodeDiedError" in output
    assert "raylet" not in output + errors
    (lost,) = (path for path in (tmp_path / "s").iterdir() if path.name.isdecimal() and not (path / "DONE").exists())

    subprocess.run(command, **started, timeout=300, check=True)
    assert "resuming from" in (lost / "train.log").read_text()
    subprocess.run(
        [*program, f"model.kernel_size={3 + 2 * int(lost.name)}", "output_dir=alone"],
        **started,
        timeout=300,
        check=True,
    )
    assert (lost / "predictions.csv").read_bytes() == (tmp_path / "alone" / "predictions.csv").read_bytes()
