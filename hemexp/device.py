"""What this machine computes on."""

import os

from hemexp.errors import UserError


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
