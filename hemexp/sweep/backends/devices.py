"""From ``where=`` to something that runs tasks: which devices there are, and who runs on them."""

import os
from contextlib import suppress
from pathlib import Path

from hemexp.config import GPUsConfig, LocalConfig, RayConfig, SlurmConfig, TrainConfig
from hemexp.errors import UserError
from hemexp.hardware import CORES, max_workers, num_cores
from hemexp.sweep.backends.base import Backend
from hemexp.sweep.backends.local import Device, Pool

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_ON_GPUS = ("gpu", "cuda", "auto")


def check_place(cfg: TrainConfig) -> None:
    """Refuse a place that is not there, before anything is written.

    Raises:
        UserError: names what is missing.
    """
    where, accelerator = cfg.where, cfg.trainer.accelerator
    if isinstance(where, SlurmConfig):
        from hemexp.sweep.backends import slurm

        slurm.check(where, accelerator)
    elif isinstance(where, RayConfig):
        from hemexp.sweep.backends import ray

        ray.check(where, accelerator)
    else:
        if isinstance(where, GPUsConfig) and accelerator not in _ON_GPUS and where.devices is None:
            raise UserError(
                f"where=gpus: trainer.accelerator={accelerator} trains on none; give trainer.accelerator=gpu, or "
                "where=local"
            )
        if isinstance(cfg.trainer.devices, list):
            raise UserError(
                f"trainer.devices={cfg.trainer.devices}: a sweep gives each job its GPU; choose among them with "
                "where=gpus where.devices=[...]"
            )
        find_devices(cfg)


def build_backend(cfg: TrainConfig, directory: Path) -> Backend:
    """Return what runs the tasks of a sweep into `directory`."""
    where, accelerator = cfg.where, cfg.trainer.accelerator
    if isinstance(where, SlurmConfig):
        from hemexp.sweep.backends.slurm import SlurmBackend

        return SlurmBackend(where, directory, accelerator)
    if isinstance(where, RayConfig):
        from hemexp.sweep.backends.ray import RayBackend

        return RayBackend(where, directory, accelerator)
    devices = find_devices(cfg)
    on_cpu = not any(_VISIBLE in device.env or device.lease for device in devices)
    return Pool(devices, where, directory / ".logs" / "workers.log", num_cores=max_workers(1) if on_cpu else 0)


def workers_ahead(cfg: TrainConfig, directory: Path, num_jobs: int) -> Pool | None:
    """Return the workers of a new sweep on this machine, started while its jobs are still being checked.

    Args:
        cfg: any job's.
        directory: of the sweep; nothing is written there. One that exists may hold all results already.
        num_jobs: to be run.

    Raises:
        UserError: the place to run is not there.
    """
    check_place(cfg)
    if directory.exists() or isinstance(cfg.where, SlurmConfig | RayConfig):
        return None
    pool = build_backend(cfg, directory)
    assert isinstance(pool, Pool)
    try:
        pool.warm_up(num_jobs)
    except BaseException:
        pool.abandon()
        raise
    return pool


def find_devices(cfg: TrainConfig) -> list[Device]:
    """Return the devices of this machine that the jobs are spread over, one for each task at once.

    Raises:
        UserError: a GPU was named that is not there.
    """
    where, trainer = cfg.where, cfg.trainer
    if isinstance(where, GPUsConfig):
        found = _gpus() if trainer.accelerator in _ON_GPUS else []
        if not found and where.devices is None:
            raise UserError(f"where=gpus: trainer.accelerator={trainer.accelerator} finds no GPU here")
        ids = [_known(str(each), found, where) for each in where.devices or found]
        return _on_gpus(ids * where.jobs_per_device, where.jobs_per_device, found)
    assert isinstance(where, LocalConfig)
    if trainer.accelerator in _ON_GPUS and (ids := _gpus()):
        each = -(-(where.num_workers or len(ids)) // len(ids))
        return _on_gpus((ids * each)[: where.num_workers], each, ids)
    if trainer.accelerator == "mps":
        return [Device("mps", lease="mps")]
    workers = where.num_workers or max_workers(trainer.num_threads)
    return [Device(f"cpu {number}", _cores(max_workers(1) // workers)) for number in range(workers)]


def _known(name: str, found: list[str], where: GPUsConfig) -> str:
    """Return the id of a GPU of those that this process may use; where there are none, ids are only names."""
    if not found or name in found:
        return name
    if name.isdecimal() and not found[0].isdecimal() and int(name) < len(found):
        return found[int(name)]  # the n-th of UUIDs
    cards = _cards(found)
    if not name.isdecimal() and (not cards or _card(name, cards) in cards.values()):
        return name
    raise UserError(f"where.devices={where.devices}: no GPU {name} here; there are {', '.join(found)}")


def _on_gpus(ids: list[str], slots: int, found: list[str]) -> list[Device]:
    cores, cards = _cores(num_cores() // max(1, len(ids))), _cards(found)
    return [Device(f"gpu {each}", {**cores, _VISIBLE: each}, f"gpu-{_card(each, cards)}", slots) for each in ids]


def _cards(found: list[str]) -> dict[str, str]:
    """Return the UUID of each GPU that was found, by its id; a part of one (MIG) has but its own id."""
    cards: dict[str, str] = {}
    if not found:
        return cards
    import torch

    for number, each in enumerate(found):
        with suppress(AttributeError, RuntimeError):  # an old driver or PyTorch does not tell
            if not each.startswith("MIG-"):
                cards[each] = str(torch.cuda.get_device_properties(number).uuid).removeprefix("GPU-")
    return cards


def _card(name: str, cards: dict[str, str]) -> str:
    """Return what is the same for a GPU under each of its names: a number, its UUID or the beginning of that."""
    if name in cards:
        return cards[name]
    start = name.removeprefix("GPU-")
    matching = {card for card in cards.values() if start != name and card.startswith(start)}
    return matching.pop() if len(matching) == 1 else start


def _cores(number: int) -> dict[str, str]:
    """Return the environment that keeps a worker to its share of the cores."""
    return {CORES: str(max(1, number)), "OMP_NUM_THREADS": str(max(1, number))}


def _gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use: those that it was given, or all."""
    import torch

    count = torch.cuda.device_count()
    given = [each.strip() for each in os.environ.get(_VISIBLE, "").split(",") if each.strip()]
    return given[:count] if given else [str(number) for number in range(count)]
