"""Fit one member or thousands: group networks of one shape, and train the groups in parallel."""

import logging
from collections.abc import Sequence
from ctypes import c_bool
from dataclasses import asdict, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger

from hemexp.config import TabularConfig, TrainerConfig, get_choice_name
from hemexp.errors import UserError
from hemexp.formatting import format_duration
from hemexp.hardware import check_device, max_workers
from hemexp.training.composite import combine, expand
from hemexp.training.estimators import fit_estimators, is_quick
from hemexp.training.group_size import compute_group_size
from hemexp.training.groups import FitRequest, MemberGroup, fit_in_processes, fit_in_this_process
from hemexp.training.lightning_engine import check_network, estimate_seconds, fit_network
from hemexp.training.loop import fit_group
from hemexp.training.member import FitResult, Member
from hemexp.training.patient_batch import ROW_MULTIPLE
from hemexp.training.progress import EpochBar

log = logging.getLogger(__name__)

_GPUS = {"gpu", "cuda"}
_MIN_PARALLEL = 4  # slow estimators; fewer are fitted in this process
_LONG = 300  # seconds, from which a shorter evaluation is named
_PARTS = 8  # groups of estimators for each process, so that all processes end at about the same time
_SMALLEST_PART = 8  # members on each of several GPUs; fewer are not faster


def fit(
    members: Sequence[Member],
    trainer: TrainerConfig,
    *,
    directory: Path | None = None,
    loggers: Sequence[Logger] = (),
    history: Path | None = None,
    num_workers: int | None = None,
    group_size: int | None = None,
) -> list[FitResult]:
    """Fit every member: networks of one shape together, groups in parallel, and all other members one by one.

    On a CPU with one thread, the default, a member's result does not depend on the other members, the groups or the
    workers: it is the same bits. docs/performance.md describes other devices. A group that runs out of memory is
    trained in halves.

    Args:
        members: in any order; models, optimizers, seeds and training sets may differ.
        trainer: epochs, when a member stops, device. With several GPUs and ``devices=1`` each worker uses one GPU.
        directory: for the states of groups of networks. The same call continues from them if it forms the same groups,
            which needs the same members, `num_workers` and `group_size`. Estimators are fitted again.
        loggers: for the scores of a single member, epoch by epoch.
        history: CSV file for the scores of a single member, written when its state is saved.
        num_workers: processes; by default one for each CPU core or GPU. One group needs none.
        group_size: members at once; by default 8 on a CPU, and as many as fit into the memory of a GPU.

    Returns:
        The results, in the order of the members.

    Raises:
        Interrupted: a signal came; `directory` holds the state.
        UserError: the device is not available, or `directory` holds the state of other members.
        SystemFailure: a member needs more memory than there is, or its processes were killed several times.

    Example:
        >>> import numpy as np
        >>> from hemexp.config import MLPConfig, OptimizerConfig, TrainerConfig
        >>> from hemexp.data.training_set import build_training_set
        >>> from hemexp.training.member import Member
        >>> inputs, labels = np.random.default_rng(0).normal(size=(40, 6)), np.arange(40) % 2
        >>> folds = [(range(20), range(20, 40)), (range(20, 40), range(20))]
        >>> sets = [build_training_set(inputs, labels, train) for train, _ in folds]
        >>> members = [Member(MLPConfig("mlp"), OptimizerConfig(), training_set) for training_set in sets]
        >>> results = fit(members, TrainerConfig(max_epochs=20, progress_bar=False))
        >>> [result.predictor().predict(inputs[test]).shape for result, (_, test) in zip(results, folds)]
        [(20,), (20,)]
    """
    if not members:
        return []
    if trainer.accelerator == "auto":
        trainer = replace(trainer, accelerator=_best_accelerator(trainer))
    check_device(trainer.accelerator)
    for name, value in (("num_workers", num_workers), ("group_size", group_size)):
        if value is not None and value < 1:
            raise UserError(f"{name}={value}: must be at least 1")
    if any(member.is_composite for member in members):
        parts = [expand(member) for member in members]
        options: dict[str, Any] = {"num_workers": num_workers, "group_size": group_size}
        fitted = iter(fit([single for part in parts for single in part], trainer, directory=directory, **options))
        return [combine(member, list(islice(fitted, len(part)))) for member, part in zip(members, parts, strict=True)]
    ways = ((_fit_networks, fit_group), (_fit_one_by_one, fit_network), (_fit_estimators, fit_estimators))
    chosen = [ways[0 if member.is_batched else 1 if member.model.is_network else 2] for member in members]
    results: dict[int, FitResult] = {}
    for way in ways:
        if numbers := [number for number, own in enumerate(chosen) if own is way]:
            fit_all, train = way
            request = FitRequest(train, [members[i] for i in numbers], trainer, directory, loggers, history)
            results |= zip(numbers, fit_all(request, num_workers, group_size), strict=True)
    return [results[number] for number in range(len(members))]


def check_member(member: Member, trainer: TrainerConfig) -> None:
    """Try a network without a batched form before any result is written.

    Raises:
        UserError: it cannot be built or trained.
    """
    if member.model.is_network and not member.is_batched:
        check_network(expand(member)[0], trainer)


def _fit_networks(request: FitRequest, num_workers: int | None, group_size: int | None) -> list[FitResult]:
    """Train the members of a request, all of them networks, in groups of one shape."""
    members, trainer = request.members, request.trainer
    by_shape: dict[tuple[object, ...], list[int]] = {}
    for number in sorted(range(len(members)), key=lambda i: _order(members[i])):
        by_shape.setdefault(get_shape(members[number], trainer), []).append(number)
    shares = -(-(num_workers or 1) // _num_devices(trainer))
    sizes = [group_size or compute_group_size(members[same[0]], trainer, shares) for same in by_shape.values()]
    if num_workers is None:
        one_group = trainer.accelerator not in _GPUS and len(by_shape) == 1 and len(members) <= sizes[0]
        num_workers = 1 if one_group else _num_devices(trainer)
    groups: list[MemberGroup] = []
    for same_shape, size in zip(by_shape.values(), sizes, strict=True):
        groups += _divide(same_shape, size, num_workers, trainer.accelerator in _GPUS)
    groups.sort(key=len, reverse=True)
    return _train_groups(request, groups, num_workers)


def _train_groups(request: FitRequest, groups: Sequence[MemberGroup], num_workers: int) -> list[FitResult]:
    """Train groups of networks in this process, or in several."""
    members, trainer = request.members, request.trainer
    num_workers = min(num_workers, len(groups))
    with EpochBar(
        _get_title("training", members, "networks"), len(members) * trainer.max_epochs, trainer.progress_bar
    ) as bar:
        if num_workers > 1:
            results = fit_in_processes(request, groups, bar.advance, num_workers)
        else:
            results = fit_in_this_process(request, groups, bar.advance)
    return [results[number] for number in range(len(members))]


def _fit_one_by_one(request: FitRequest, num_workers: int | None, _: int | None) -> list[FitResult]:
    """Train networks with ordinary Trainers, in parallel where there are several; say how long it takes at most."""
    members, num_workers = request.members, num_workers or _num_devices(request.trainer)
    if len(members) >= _MIN_PARALLEL:
        seconds = estimate_seconds(members[0], request.trainer) * len(members) / min(len(members), num_workers)
        advice = "; evaluation.num_repeats=1 or evaluation=off takes less" if seconds > _LONG else ""
        text = "%d networks, each trained alone: about %s altogether at most%s"
        log.info(text, len(members), format_duration(seconds), advice)
    return _train_groups(request, [(number,) for number in range(len(members))], num_workers)


def _fit_estimators(request: FitRequest, num_workers: int | None, _: int | None) -> list[FitResult]:
    """Fit estimators, the slow ones in parallel processes."""
    request, num_workers = replace(request, cores=1), num_workers or max_workers(1)
    members, everyone = request.members, range(len(request.members))
    peers = sorted({member.model.name for member in members if isinstance(member.model, TabularConfig)})
    if peers and request.trainer.accelerator != "cpu":
        log.warning("model.name=%s: trained on the CPU; only hemexp's own networks use a GPU", ", ".join(peers))
    slow = [number for number in everyone if not is_quick(members[number].model)]
    title = _get_title("fitting", members, "models")
    with EpochBar(title, len(members), request.trainer.progress_bar, unit="fits") as bar:
        if len(slow) < _MIN_PARALLEL or num_workers == 1:
            results = request.fit(tuple(everyone), bar.advance, c_bool(False))
        else:
            groups = _divide(slow, -(-len(slow) // (_PARTS * num_workers)), num_workers, spread=False)
            results = fit_in_processes(request, groups, bar.advance, num_workers)
            results |= request.fit(tuple(set(everyone) - set(slow)), bar.advance, c_bool(False))
    return [results[number] for number in everyone]


def _get_title(verb: str, members: Sequence[Member], plural: str) -> str:
    return f"{verb} {f'{len(members)} {plural}' if len(members) > 1 else get_choice_name(vars(members[0].model))}"


def _order(member: Member) -> tuple[object, ...]:
    """Return a key that brings members with equal settings of the optimizer side by side."""
    return member.rates, repr((member.optimizer, member.scheduler))


def get_shape(member: Member, trainer: TrainerConfig) -> tuple[object, ...]:
    """Return what all members of a group must share: sizes, the kind of the optimizer, and the loss."""
    training_set = member.training_set
    train, val = len(training_set.labels), len(training_set.val_labels)
    rows = -(-train // ROW_MULTIPLE) if trainer.batch_size is None else train
    algorithm = member.optimizer.name, getattr(member.optimizer, "nesterov", None), repr(member.loss)
    return repr(asdict(member.model)), len(training_set.features), rows, -(-val // ROW_MULTIPLE), *algorithm


def _divide(same_shape: list[int], size: int, num_workers: int, spread: bool) -> list[MemberGroup]:
    """Divide members of one shape into equal groups of at most `size`, with a multiple of `num_workers` groups.

    With `spread`, what would fit into one group is divided among the workers, too.
    """
    parts = -(-len(same_shape) // size)
    if parts > 1:
        parts = min(len(same_shape), parts + -parts % num_workers)
    elif spread:
        parts = min(num_workers, -(-len(same_shape) // _SMALLEST_PART))
    edges = [len(same_shape) * part // parts for part in range(parts + 1)]
    return [tuple(same_shape[start:end]) for start, end in pairwise(edges)]


def _num_devices(trainer: TrainerConfig) -> int:
    if trainer.accelerator in _GPUS:
        return torch.cuda.device_count() if isinstance(trainer.devices, int) else 1
    if trainer.accelerator == "mps":
        return 1
    return max_workers(trainer.num_threads)


def _best_accelerator(trainer: TrainerConfig) -> str:
    if torch.cuda.is_available():
        return "gpu"
    return "mps" if torch.backends.mps.is_available() and trainer.precision == 32 else "cpu"
