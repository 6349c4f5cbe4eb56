"""Build the backend that ``where=`` names, and find the devices of this machine."""

import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from hemexp.config import ClusterConfig, GPUsConfig, LocalConfig, TrainConfig
from hemexp.errors import UserError
from hemexp.hardware import GPU_SHARES, VISIBLE, limit_cores, list_gpus, max_workers, num_cores
from hemexp.runner.local import Device, LocalRunner
from hemexp.sweep.backends.base import RUN_ITEM, describe_timeout
from hemexp.sweep.backends.cluster import ClusterBackend

Backend = LocalRunner | ClusterBackend  # runs each work item in its own process
_GPU_ACCELERATORS = ("gpu", "cuda", "auto")


def check_backend(cfg: TrainConfig) -> None:
    """Refuse a backend or a device that is not available, before anything is written.

    Raises:
        UserError: names what is missing.
    """
    where, accelerator = cfg.where, cfg.trainer.accelerator
    if isinstance(where, ClusterConfig):
        _import_cluster(where).check(where, accelerator)
    else:
        if isinstance(where, GPUsConfig) and accelerator not in _GPU_ACCELERATORS and where.devices is None:
            raise UserError(
                f"where=gpus: trainer.accelerator={accelerator} does not train on a GPU; give trainer.accelerator=gpu, "
                "or where=local"
            )
        if isinstance(cfg.trainer.devices, list):
            raise UserError(
                f"trainer.devices={cfg.trainer.devices}: a sweep assigns a GPU to each job; choose the GPUs with "
                "where=gpus where.devices=[...]"
            )
        find_devices(cfg)


def build_backend(cfg: TrainConfig, directory: Path) -> Backend:
    """Return the backend for a sweep into `directory`."""
    where, accelerator = cfg.where, cfg.trainer.accelerator
    if isinstance(where, ClusterConfig):
        backend: ClusterBackend = _import_cluster(where).Backend(where, directory, accelerator)
        return backend
    devices, cores, limit = find_devices(cfg), max_workers(1), partial(describe_timeout, where)
    if isinstance(where, GPUsConfig) and accelerator not in _GPU_ACCELERATORS:
        words = f"with trainer.accelerator={accelerator} its GPUs are names only, and CPU cores train"
        print(f"where=gpus: {words}; trainer.accelerator=gpu trains on the GPUs", file=sys.stderr)
    if not any(VISIBLE in device.env or device.lock_name for device in devices):
        return LocalRunner(devices, RUN_ITEM, limit, num_cores=cores)
    # no GPU waits for figures and files: CPU cores finish the jobs
    training = [replace(device, trains=True) for device in devices]
    finishing = [Device(f"cpu {number}", limit_cores(1), trains=False) for number in range(cores)]
    return LocalRunner([*training, *finishing], RUN_ITEM, limit)


def _import_cluster(where: ClusterConfig) -> Any:
    """Return the module of a cluster; its packages are optional."""
    return import_module(f"hemexp.sweep.backends.{where.name}")


def find_devices(cfg: TrainConfig) -> list[Device]:
    """Return the devices of this machine for the jobs, one entry for each job that runs at the same time.

    Raises:
        UserError: a GPU was named that does not exist.
    """
    where, trainer = cfg.where, cfg.trainer
    if isinstance(where, GPUsConfig):
        available = list_gpus() if trainer.accelerator in _GPU_ACCELERATORS else []
        if not available and where.devices is None:
            raise UserError(f"where=gpus: trainer.accelerator={trainer.accelerator} finds no GPU here; use where=local")
        ids = [_find_gpu(str(name), available, where) for name in where.devices or available]
        return _build_gpu_devices(ids * where.jobs_per_device, where.jobs_per_device, available)
    assert isinstance(where, LocalConfig)
    if trainer.accelerator in _GPU_ACCELERATORS and (ids := list_gpus()):
        slots = -(-(where.num_workers or len(ids)) // len(ids))
        return _build_gpu_devices((ids * slots)[: where.num_workers], slots, ids)
    if trainer.accelerator == "mps":
        return [Device("mps", lock_name="mps")]
    num_workers = where.num_workers or max_workers(trainer.num_threads)
    return [Device(f"cpu {number}", limit_cores(max_workers(1) // num_workers)) for number in range(num_workers)]


def _find_gpu(name: str, available: list[str], where: GPUsConfig) -> str:
    """Return the id of a GPU that this process may use; without any GPU, ids are names only."""
    if not available or name in available:
        return name
    if name.isdecimal() and not available[0].isdecimal() and int(name) < len(available):
        return available[int(name)]  # the n-th of UUIDs
    uuids = _read_uuids(available)
    if not name.isdecimal() and (not uuids or _identify_gpu(name, uuids) in uuids.values()):
        return name
    raise UserError(f"where.devices={where.devices}: no GPU {name} on this machine; it has {', '.join(available)}")


def _build_gpu_devices(ids: list[str], slots: int, available: list[str]) -> list[Device]:
    limits, uuids = limit_cores(num_cores() // max(1, len(ids))), _read_uuids(available)
    limits[GPU_SHARES] = str(slots)
    return [Device(f"gpu {gpu}", {**limits, VISIBLE: gpu}, f"gpu-{_identify_gpu(gpu, uuids)}", slots) for gpu in ids]


def _read_uuids(available: list[str]) -> dict[str, str]:
    """Return the UUID of each GPU by its id. A MIG instance is left out: its id identifies it already."""
    uuids: dict[str, str] = {}
    if not available:
        return uuids
    import torch

    for number, gpu in enumerate(available):
        with suppress(AttributeError, RuntimeError):  # an old driver or an old PyTorch does not report it
            if not gpu.startswith("MIG-"):
                uuids[gpu] = str(torch.cuda.get_device_properties(number).uuid).removeprefix("GPU-")
    return uuids


def _identify_gpu(name: str, uuids: dict[str, str]) -> str:
    """Return one identifier for a GPU that was named by its number, its UUID or the beginning of its UUID."""
    if name in uuids:
        return uuids[name]
    start = name.removeprefix("GPU-")
    matching = {uuid for uuid in uuids.values() if start != name and uuid.startswith(start)}
    return matching.pop() if len(matching) == 1 else start
