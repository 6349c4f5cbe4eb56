import pytest

from hemexp import device
from hemexp.device import CORES, max_workers


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
