import pytest

from hemexp.hardware import CORES, max_workers


@pytest.mark.parametrize(("cores", "threads", "workers"), [(8, 1, 8), (8, 2, 4), (7, 2, 3), (2, 4, 1)])
def test_there_are_as_many_workers_as_cores_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, workers: int
):
    monkeypatch.setenv(CORES, str(cores))
    assert max_workers(threads) == workers
