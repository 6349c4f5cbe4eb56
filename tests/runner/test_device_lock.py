"""Device locks: the name of a device for several sweeps, and the directory of the locks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hemexp.config import GPUsConfig, LocalConfig
from hemexp.errors import UserError
from hemexp.hardware import GPU_SHARES
from hemexp.runner.device_lock import get_lock_directory, lock_device
from hemexp.sweep.backends.devices import find_devices

UUIDS = ["11111111-aaaa-0000-0000-000000000000", "2222bbbb-cccc-0000-0000-000000000000"]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two GPUs as PyTorch reports them, in the order in which this process sees them."""
    seen = list(UUIDS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=seen[number]))
    return seen


def find_lock_names(where: GPUsConfig | LocalConfig, accelerator: str = "gpu") -> list[str]:
    trainer = SimpleNamespace(accelerator=accelerator, num_threads=1)
    return [device.lock_name for device in find_devices(SimpleNamespace(where=where, trainer=trainer))]


@pytest.mark.parametrize("names", [[1, 0], [f"GPU-{UUIDS[1]}", f"GPU-{UUIDS[0]}"], ["GPU-2222", "GPU-1111"]])
def test_a_gpu_has_one_lock_under_all_its_names(two_gpus: list[str], names: list[int | str]):
    assert find_lock_names(GPUsConfig("gpus", devices=names)) == [f"gpu-{UUIDS[1]}", f"gpu-{UUIDS[0]}"]
    assert find_lock_names(LocalConfig("local")) == [f"gpu-{uuid}" for uuid in UUIDS]


def test_items_on_one_gpu_know_how_many_share_it(two_gpus: list[str]):
    trainer = SimpleNamespace(accelerator="gpu", num_threads=1)
    for where, shares in ((GPUsConfig("gpus", jobs_per_device=3), "3"), (LocalConfig("local", num_workers=3), "2")):
        devices = find_devices(SimpleNamespace(where=where, trainer=trainer))
        assert {device.env[GPU_SHARES] for device in devices} == {shares}


def test_the_numbers_of_an_allocation_name_its_gpus(two_gpus: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    two_gpus[:] = UUIDS[1:]
    assert find_lock_names(GPUsConfig("gpus")) == [f"gpu-{UUIDS[1]}"]


def test_a_gpu_without_a_uuid_is_locked_by_its_id(two_gpus: list[str], monkeypatch: pytest.MonkeyPatch):
    assert find_lock_names(GPUsConfig("gpus", devices=[0, 1]), "cpu") == ["gpu-0", "gpu-1"]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace())
    assert find_lock_names(GPUsConfig("gpus")) == ["gpu-0", "gpu-1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-3,MIG-4")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=UUIDS[0]))
    assert find_lock_names(GPUsConfig("gpus")) == ["gpu-MIG-3", "gpu-MIG-4"]


def test_the_lock_directory_does_not_depend_on_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HEMEXP_LEASES", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    usual = get_lock_directory()
    assert usual.is_relative_to(tmp_path / "home" / ".cache" / "hemexp")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "other"))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert get_lock_directory() == usual
    monkeypatch.setenv("HEMEXP_LEASES", str(tmp_path / "leases"))
    assert get_lock_directory() == tmp_path / "leases"


def test_locks_are_in_the_temporary_directory_where_the_home_directory_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEMEXP_LEASES", str(tmp_path / "file" / "leases"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with lock_device("gpu-0", 2), lock_device("gpu-0", 2):
        locks = sorted(path.name for path in tmp_path.glob("hemexp-devices-*/*"))
    assert locks == ["gpu-0.0.lock", "gpu-0.1.lock"]


def test_the_ids_of_an_allocation_are_respected(two_gpus: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(f"GPU-{uuid}" for uuid in UUIDS))
    assert find_lock_names(GPUsConfig("gpus", devices=[1])) == [f"gpu-{UUIDS[1]}"]
    for name in (5, "GPU-3333"):
        with pytest.raises(UserError, match=f"no GPU {name} on this machine"):
            find_lock_names(GPUsConfig("gpus", devices=[name]))


def test_accelerator_auto_uses_the_gpus_of_this_machine(two_gpus: list[str]):
    assert find_lock_names(GPUsConfig("gpus"), "auto") == [f"gpu-{uuid}" for uuid in UUIDS]
    two_gpus.clear()
    with pytest.raises(UserError, match="finds no GPU here"):
        find_lock_names(GPUsConfig("gpus"), "auto")
