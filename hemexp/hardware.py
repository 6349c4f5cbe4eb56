"""The GPUs and CPU cores of this machine."""

import os

from hemexp.errors import UserError

CORES = "HEMEXP_NUM_CORES"  # environment variable: how many cores a process may use
VISIBLE = "CUDA_VISIBLE_DEVICES"
GPU_SHARES = "HEMEXP_GPU_SHARES"  # environment variable: how many work items run on this process's GPU at once


def check_device(accelerator: str) -> None:
    """Refuse an accelerator that this machine does not have.

    Raises:
        UserError: the accelerator is missing.
    """
    if accelerator in {"cpu", "auto"}:
        return
    import torch

    available = torch.backends.mps.is_available() if accelerator == "mps" else torch.cuda.is_available()
    if not available:
        kind = "Apple GPU (mps)" if accelerator == "mps" else "CUDA GPU"
        raise UserError(
            f"trainer.accelerator={accelerator}: PyTorch {torch.__version__} finds no {kind} on this machine; "
            "use trainer.accelerator=cpu"
        )


def num_cores() -> int:
    """Return how many CPU cores this process may use."""
    if os.environ.get(CORES, "").isdecimal():
        return max(1, int(os.environ[CORES]))
    from joblib import cpu_count  # includes the CPU limit of a container

    return int(cpu_count())


def max_workers(num_threads: int) -> int:
    """Return how many processes, each with this number of threads, the cores allow."""
    return max(1, num_cores() // num_threads)


def limit_cores(number: int) -> dict[str, str]:
    """Return the environment that limits a process to this number of cores."""
    return {CORES: str(max(1, number)), "OMP_NUM_THREADS": str(max(1, number))}


def list_gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, or all."""
    import torch

    count = torch.cuda.device_count()
    given = [gpu.strip() for gpu in os.environ.get(VISIBLE, "").split(",") if gpu.strip()]
    return given[:count] if given else [str(number) for number in range(count)]
