"""The GPUs, CPU cores and memory of this machine."""

import os
from contextlib import suppress
from pathlib import Path

from hemexp.errors import UserError

CORES = "HEMEXP_NUM_CORES"  # environment variable: how many cores a process may use
_PROCESS_MEMORY = 2**30  # bytes that a process with PyTorch and a cohort may need; most need half of this


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
    """Return how many processes, each with this number of threads, the cores and the memory of this machine allow."""
    return max(1, min(num_cores() // num_threads, _memory() // _PROCESS_MEMORY))


def _memory(root: Path = Path("/")) -> int:
    """Return the memory in bytes that all processes may use, with the limit of a container or a cluster."""
    sizes = [2**63]
    with suppress(AttributeError, OSError, ValueError):  # not known on this system
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError):  # not Linux
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            version1 = "memory" in controllers.split(",")
            if controllers and not version1:
                continue
            mount, name = ("memory", "memory.limit_in_bytes") if version1 else ("", "memory.max")
            group = Path(path.lstrip("/"))
            for part in (group, *group.parents):
                with suppress(OSError, ValueError):  # not visible, or the value is "max"
                    sizes.append(int((root / "sys/fs/cgroup" / mount / part / name).read_text()))
    return min(sizes)
