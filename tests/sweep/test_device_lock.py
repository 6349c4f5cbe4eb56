"""What a device is called where several sweeps share it, and where that is written down."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hemexp.config import GPUsConfig, LocalConfig
from hemexp.errors import UserError
from hemexp.sweep.backends.device_lock import lease_folder, leased
from hemexp.sweep.backends.devices import find_devices

CARDS = ["11111111-aaaa-0000-0000-000000000000", "2222bbbb-cccc-0000-0000-000000000000"]


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two GPUs, as PyTorch tells of them, in the order in which this process sees them."""
    seen = list(CARDS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=seen[number]))
    return seen


def leases(where: GPUsConfig | LocalConfig, accelerator: str = "gpu") -> list[str]:
    trainer = SimpleNamespace(accelerator=accelerator, num_threads=1)
    return [device.lease for device in find_devices(SimpleNamespace(where=where, trainer=trainer))]


@pytest.mark.parametrize("names", [[1, 0], [f"GPU-{CARDS[1]}", f"GPU-{CARDS[0]}"], ["GPU-2222", "GPU-1111"]])
def test_a_card_is_one_lease_under_all_its_names(two_cards: list[str], names: list[int | str]):
    assert leases(GPUsConfig("gpus", devices=names)) == [f"gpu-{CARDS[1]}", f"gpu-{CARDS[0]}"]
    assert leases(LocalConfig("local")) == [f"gpu-{card}" for card in CARDS]


def test_numbers_of_an_allocation_name_the_cards_that_it_shows(two_cards: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    two_cards[:] = CARDS[1:]
    assert leases(GPUsConfig("gpus")) == [f"gpu-{CARDS[1]}"]


def test_what_has_no_uuid_is_leased_by_its_id(two_cards: list[str], monkeypatch: pytest.MonkeyPatch):
    assert leases(GPUsConfig("gpus", devices=[0, 1]), "cpu") == ["gpu-0", "gpu-1"]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace())
    assert leases(GPUsConfig("gpus")) == ["gpu-0", "gpu-1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-3,MIG-4")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=CARDS[0]))
    assert leases(GPUsConfig("gpus")) == ["gpu-MIG-3", "gpu-MIG-4"]


def test_leases_lie_where_no_session_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HEMEXP_LEASES", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    usual = lease_folder()
    assert usual.is_relative_to(tmp_path / "home" / ".cache" / "hemexp")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "other"))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert lease_folder() == usual
    monkeypatch.setenv("HEMEXP_LEASES", str(tmp_path / "leases"))
    assert lease_folder() == tmp_path / "leases"


def test_a_home_that_cannot_be_written_to_costs_nobody_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEMEXP_LEASES", str(tmp_path / "file" / "leases"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with leased("gpu-0", 2) as first, leased("gpu-0", 2) as second:
        assert {first, second} == {0, 1}
    assert len(list(tmp_path.glob("hemexp-devices-*/gpu-0.*.lock"))) == 2


def test_ids_of_an_allocation_are_respected(two_cards: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(f"GPU-{card}" for card in CARDS))
    assert leases(GPUsConfig("gpus", devices=[1])) == [f"gpu-{CARDS[1]}"]
    for name in (5, "GPU-3333"):
        with pytest.raises(UserError, match=f"no GPU {name} here"):
            leases(GPUsConfig("gpus", devices=[name]))


def test_gpus_are_found_or_missed_by_auto_too(two_cards: list[str]):
    assert leases(GPUsConfig("gpus"), "auto") == [f"gpu-{card}" for card in CARDS]
    two_cards.clear()
    with pytest.raises(UserError, match="finds no GPU here"):
        leases(GPUsConfig("gpus"), "auto")
