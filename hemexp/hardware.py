"""What this machine computes on."""

import os
from contextlib import suppress
from pathlib import Path

from hemexp.errors import UserError

_EACH = 2**30  # bytes that a process with PyTorch and a cohort may need; half of it is usual


def check_device(accelerator: str) -> None:
    """Refuse an accelerator that this machine lacks.

    Raises:
        UserError: names the accelerator and what is there.
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


CORES = "HEMEXP_NUM_CORES"  # environment variable: how many cores a process may keep busy


def num_cores() -> int:
    """Return how many CPU cores this process may use."""
    if os.environ.get(CORES, "").isdecimal():
        return max(1, int(os.environ[CORES]))
    from joblib import cpu_count  # knows of a container's quota too

    return int(cpu_count())


def max_workers(num_threads: int) -> int:
    """Return how many processes of so many threads this machine can have: as many as its cores and its memory allow."""
    return max(1, min(num_cores() // num_threads, _memory() // _EACH))


def _memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process and its like may use: a container or cluster may have given less."""
    sizes = [2**63]
    with suppress(AttributeError, OSError, ValueError):  # unknown here
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError):  # no Linux
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            version1 = "memory" in controllers.split(",")
            if controllers and not version1:
                continue
            mount, name = ("memory", "memory.limit_in_bytes") if version1 else ("", "memory.max")
            group = Path(path.lstrip("/"))
            for part in (group, *group.parents):
                with suppress(OSError, ValueError):  # not shown in here, or "max"
                    sizes.append(int((root / "sys/fs/cgroup" / mount / part / name).read_text()))
    return min(sizes)
