"""Training, of one member or of a thousand: `fit`. Each group of members goes through `hemexp.training.loop`."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import torch
from lightning.pytorch.loggers import Logger

from hemexp.config import NetConfig, TrainerConfig
from hemexp.errors import UserError
from hemexp.hardware import check_device, max_workers
from hemexp.training.estimators import fit_estimators
from hemexp.training.loop import FitResult
from hemexp.training.member import Member
from hemexp.training.process_pool import Group, Job, fit_here, fit_in_processes
from hemexp.training.progress import EpochBar
from hemexp.training.task import ROWS

__all__ = ["FitResult", "fit", "get_shape"]

_CPU_GROUP = 8  # members: more gain nothing, and leave the caches
_CPU_BYTES, _GPU_SHARE = 2**31, 0.8  # of memory that a group may take


def fit(
    members: Sequence[Member],
    trainer: TrainerConfig,
    *,
    directory: Path | None = None,
    loggers: Sequence[Logger] = (),
    history: Path | None = None,
    num_workers: int | None = None,
    group_size: int | None = None,
    apart: Sequence[Path] = (),
) -> list[FitResult]:
    """Train every member; networks of one shape together, as many as a device takes, groups side by side.

    On a CPU and one thread, the default, a member's result is the same bits whoever is trained with it, in whatever
    groups and by however many workers (docs/performance.md says what holds elsewhere). A group that runs out of memory
    is trained in halves. Members that are no networks are fitted one by one, over all cores.

    Args:
        members: in any order; models, rates, seeds and training_sets may differ.
        trainer: epochs, when a member stops, device. With several GPUs and ``devices=1`` each worker takes its own.
        directory: where groups of networks save their state; the same call finds it there and goes on, if it cuts the
            same groups: with the same members, workers and group size. Other members are fitted anew.
        loggers: get the scores of a member alone, epoch by epoch.
        history: a CSV file that is given a lone member's scores whenever its state is saved.
        num_workers: processes; by default as many as CPU cores (and GiB) or GPUs; none but this while one group does.
        group_size: members at once; by default 8 on a CPU, what memory holds on a GPU.
        apart: for each member, all of them networks, where its state is left as if it had been trained alone, so that
            a `fit` of it alone finds it there, trained.

    Returns:
        The results, in the order of the members.

    Raises:
        Interrupted: a signal came; `directory` holds the state.
        UserError: the device is not there, a member alone needs more memory than there is, or `directory` holds
            something else.

    Example:
        >>> sets = [build_training_set(raw, labels, train) for train, test in splits]  # raw (N, F), labels (N,)
        >>> members = [Member(SACNNConfig("sacnn"), OptimizerConfig(), part) for part in sets]
        >>> results = fit(members, TrainerConfig())
        >>> risks = results[0].predictor().predict(raw)  # (N,)
    """
    if not members:
        return []
    if trainer.accelerator == "auto":
        trainer = replace(trainer, accelerator=_best_accelerator(trainer))
    check_device(trainer.accelerator)
    for name, value in (("num_workers", num_workers), ("group_size", group_size)):
        if value is not None and value < 1:
            raise UserError(f"{name}={value}: must be at least 1")
    networks = [number for number, member in enumerate(members) if isinstance(member.model, NetConfig)]
    if len(networks) < len(members):
        return _fit_apart(members, networks, trainer, directory, loggers, history, num_workers, group_size)
    by_shape: dict[tuple[object, ...], list[int]] = {}
    for number in sorted(range(len(members)), key=lambda i: _rates(members[i])):
        by_shape.setdefault(get_shape(members[number], trainer), []).append(number)
    sizes = [group_size or _group_size(members[alike[0]], trainer) for alike in by_shape.values()]
    if num_workers is None:
        one_group = len(by_shape) == 1 and len(members) <= sizes[0]
        num_workers = 1 if one_group else _num_devices(trainer)
    groups = [
        cut for alike, size in zip(by_shape.values(), sizes, strict=True) for cut in _cut(alike, size, num_workers)
    ]
    groups.sort(key=len, reverse=True)
    num_workers = min(num_workers, len(groups))
    title = f"training {f'{len(members)} networks' if len(members) > 1 else members[0].model.name}"
    job = Job(members, trainer, directory, loggers, history, apart)
    with EpochBar(title, len(members) * trainer.max_epochs, trainer.progress_bar) as bar:
        if num_workers > 1:
            results = fit_in_processes(job, groups, bar.advance, num_workers)
        else:
            results = fit_here(job, groups, bar.advance)
    return [results[number] for number in range(len(members))]


def _fit_apart(
    members: Sequence[Member],
    networks: Sequence[int],
    trainer: TrainerConfig,
    directory: Path | None,
    loggers: Sequence[Logger],
    history: Path | None,
    num_workers: int | None,
    group_size: int | None,
) -> list[FitResult]:
    """Fit the members at `networks` as networks, and all others as the estimators that they are."""
    others = [number for number in range(len(members)) if number not in set(networks)]
    trained = fit(
        [members[number] for number in networks],
        trainer,
        directory=directory,
        loggers=loggers,
        history=history,
        num_workers=num_workers,
        group_size=group_size,
    )
    title = f"fitting {f'{len(others)} models' if len(others) > 1 else members[others[0]].model.name}"
    with EpochBar(title, len(others), trainer.progress_bar, unit="fits") as bar:
        fitted = fit_estimators([members[number] for number in others], num_workers, bar.advance)
    results = dict(zip([*networks, *others], [*trained, *fitted], strict=True))
    return [results[number] for number in range(len(members))]


def get_shape(member: Member, trainer: TrainerConfig) -> tuple[object, ...]:
    """Return what the members of one group must have in common."""
    training_set = member.training_set
    train, val = len(training_set.labels), len(training_set.val_labels)
    rows = -(-train // ROWS) if trainer.batch_size is None else train
    return repr(asdict(member.model)), len(training_set.features), rows, -(-val // ROWS)


def _rates(member: Member) -> tuple[float, float]:
    return member.optimizer.lr, member.optimizer.weight_decay


def _cut(alike: list[int], size: int, num_workers: int) -> list[Group]:
    """Cut members of one shape into groups of `size` at most, equal ones, so many that no worker is idle at the end."""
    parts = -(-len(alike) // size)
    if parts > 1:
        parts = min(len(alike), parts + -parts % num_workers)
    edges = [len(alike) * part // parts for part in range(parts + 1)]
    return [tuple(alike[start:end]) for start, end in pairwise(edges)]


def _num_devices(trainer: TrainerConfig) -> int:
    if trainer.accelerator in {"gpu", "cuda"}:
        return torch.cuda.device_count() if isinstance(trainer.devices, int) else 1
    if trainer.accelerator == "mps":
        return 1
    return max_workers(trainer.num_threads)


def _best_accelerator(trainer: TrainerConfig) -> str:
    if torch.cuda.is_available():
        return "gpu"
    return "mps" if torch.backends.mps.is_available() and trainer.precision == 32 else "cpu"


def _group_size(member: Member, trainer: TrainerConfig) -> int:
    """Return how many members like this one to train at once."""
    sizes, training_set = asdict(member.model), member.training_set
    rows = min(len(training_set.labels), trainer.batch_size or len(training_set.labels))
    channels, heads = sum(sizes.get("channels", [])), sizes.get("num_heads", 0) * (1 + sizes.get("embed_dim", 0) // 2)
    floats = rows * len(training_set.features) * (8 + 4 * channels + 4 * heads)  # what a training step holds, roughly
    weights = sizes["hidden_dim"] * len(training_set.features) * (sizes.get("embed_dim", 0) + channels)
    bytes_needed: int = trainer.precision // 8 * (floats + 6 * weights)
    if trainer.accelerator in {"gpu", "cuda"}:
        free, _ = torch.cuda.mem_get_info(trainer.devices[0] if isinstance(trainer.devices, list) else 0)
        return max(1, int(_GPU_SHARE * free / bytes_needed))
    return max(1, min(_CPU_GROUP, _CPU_BYTES // bytes_needed))
