"""Cut the fits of all jobs of a sweep into work items, in which fits of one shape are trained together.

An item for a GPU may hold several shapes, because its process has to start CUDA.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import ceil

from hemexp.config import GPUsConfig, LocalConfig, TrainConfig
from hemexp.sweep.backends.base import FitRange, WorkItem
from hemexp.sweep.plan.cost import count_fits, estimate_cost, get_batch_key
from hemexp.sweep.plan.job import SweepJob

_WAVE = 4096  # fits that are cut at once; their results wait on the disk until the jobs of the wave have finished
_GPU_FITS = 4096  # most fits of an item on a GPU; the training divides them further by the memory of the GPU
_GPU_EPOCH = 0.01  # seconds of an epoch of any number of fits on a GPU
_GPU_SECONDS = 30  # an item on a GPU takes at least so long, because its process needs 1.4 s to start CUDA
_LOCAL_SECONDS, _CLUSTER_SECONDS = 60.0, 600.0  # an item on CPU cores holds about as many fits as take this long
_FEWEST, _MOST = 8, 512  # ... within these limits; smaller groups train slower on a core


def build_items(jobs: Sequence[SweepJob], capacity: int, counts: dict[str, int] | None = None) -> list[WorkItem]:
    """Return work items for all fits of the jobs' networks; none for a job that trains alone.

    A job trains alone if it has one fit, of a shape that no other job has: its curves are then seen while it trains.
    The same jobs give the same items, so that an interrupted item is continued.

    Args:
        jobs: all jobs of a sweep, also those that are done.
        capacity: items that run at the same time.
        counts: number of fits by stage; by default all fits of each job.
    """
    items: list[WorkItem] = []
    for number, wave in enumerate(_divide_into_waves(jobs)):
        ranges: dict[tuple[str, str], list[tuple[SweepJob, int]]] = {}  # by shape and stage: jobs, and their fits
        shapes = {shape: place for place, shape in enumerate(dict.fromkeys(get_batch_key(job.cfg) for job in wave))}
        for job in wave:
            key = _get_item_key(job.cfg, shapes)
            for stage, count in (counts or count_fits(job.cfg)).items():
                if count:
                    ranges.setdefault((key, stage), []).append((job, count))
        costs = [sum(count * _get_fit_cost(job.cfg) for job, count in entries) for entries in ranges.values()]
        for ((_, stage), entries), cost in zip(ranges.items(), costs, strict=True):
            share = ceil(round(capacity * cost / sum(costs), 6))  # parts, so that no item takes longer than all others
            items += _cut(stage, entries, share, number)
    return [item for item in items if len(item.jobs) > 1 or sum((counts or count_fits(item.jobs[0].cfg)).values()) > 1]


def _divide_into_waves(jobs: Sequence[SweepJob]) -> Iterator[list[SweepJob]]:
    """Yield consecutive jobs whose networks are trained in batches."""
    if not jobs or not getattr(jobs[0].cfg.where, "batch", True):
        return
    wave, size = list[SweepJob](), 0
    for job in jobs:
        if get_batch_key(job.cfg):
            wave.append(job)
            size += sum(count_fits(job.cfg).values())
            if size >= _WAVE:
                yield wave
                wave, size = [], 0
    yield wave


def _cut(stage: str, entries: Sequence[tuple[SweepJob, int]], fewest: int, wave: int) -> Iterator[WorkItem]:
    """Yield items of equal size, at least `fewest` where there are as many fits."""
    total, cfg = sum(count for _, count in entries), entries[0][0].cfg
    parts = max(ceil(total / _get_most(cfg)), min(total, fewest))
    fits = [(job, number) for job, count in entries for number in range(count)]
    for part in range(parts):
        chosen = fits[total * part // parts : total * (part + 1) // parts]
        jobs, ranges, cost = [], [], 0.0
        for _, group in groupby(chosen, lambda fit: fit[0].number):
            same_job = list(group)
            jobs.append(same_job[0][0])
            ranges.append(FitRange(jobs[-1].number, stage, same_job[0][1], same_job[-1][1] + 1))
            cost += _get_fit_cost(jobs[-1].cfg) * len(same_job)
        yield WorkItem("fits", tuple(jobs), cost, tuple(ranges), wave)


def _get_fit_cost(cfg: TrainConfig) -> float:
    return estimate_cost(cfg) / sum(count_fits(cfg).values())


def _is_on_gpu(cfg: TrainConfig) -> bool:
    return isinstance(cfg.where, GPUsConfig) or cfg.trainer.accelerator in {"gpu", "cuda"}


def _get_item_key(cfg: TrainConfig, shapes: dict[str, int]) -> str:
    """Return a key that is equal for jobs whose fits may be in one item; `shapes` numbers the shapes of all jobs."""
    shape = get_batch_key(cfg)
    if not _is_on_gpu(cfg):
        return shape
    together = max(1, int(_GPU_SECONDS / (_GPU_EPOCH * cfg.trainer.max_epochs)))
    return repr((cfg.trainer, cfg.data, shapes[shape] // together))


def _get_most(cfg: TrainConfig) -> int:
    """Return the largest number of fits of an item, by the seconds that a fit takes on a core."""
    if _is_on_gpu(cfg):
        return _GPU_FITS
    seconds = _LOCAL_SECONDS if isinstance(cfg.where, LocalConfig) else _CLUSTER_SECONDS
    return int(min(max(seconds / _get_fit_cost(cfg), _FEWEST), _MOST))
