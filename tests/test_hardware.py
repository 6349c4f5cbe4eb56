from pathlib import Path

import pytest

from hemexp import hardware as device
from hemexp.hardware import CORES, max_workers


@pytest.mark.parametrize(
    ("cores", "gibibytes", "threads", "workers"),
    [(8, 64, 1, 8), (64, 16, 1, 16), (8, 64, 2, 4), (2, 64, 4, 1), (4, 0.5, 1, 1)],
)
def test_there_are_as_many_workers_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, gibibytes: float, threads: int, workers: int
):
    monkeypatch.setenv(CORES, str(cores))
    monkeypatch.setattr(device, "_memory", lambda: int(gibibytes * 2**30))
    assert max_workers(threads) == workers


def test_the_memory_of_this_machine_is_found():
    assert 2**28 < device._memory() < 2**50


@pytest.mark.parametrize(
    ("group", "folder", "name"),
    [
        ("0::/slurm/job_7/step", "slurm/job_7", "memory.max"),
        ("0::/../elsewhere", "", "memory.max"),
        ("12:cpu:/x\n9:memory:/docker/a", "memory/docker", "memory.limit_in_bytes"),
    ],
)
def test_a_limit_above_the_process_counts(tmp_path: Path, group: str, folder: str, name: str):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(group + "\n")
    limited = tmp_path / "sys" / "fs" / "cgroup" / folder
    limited.mkdir(parents=True)
    (limited / name).write_text("12345678\n")
    assert device._memory(tmp_path) == 12345678
    (limited / name).write_text("max\n")
    assert device._memory(tmp_path) == device._memory(tmp_path / "nothing") > 2**28
