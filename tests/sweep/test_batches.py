"""The fits of all jobs are cut into work items by shape."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.evaluation.plan import EvaluationPlan, list_definitions
from hemexp.sweep.backends.base import WorkItem
from hemexp.sweep.batches import build_items
from hemexp.sweep.plan.cost import count_fits, estimate_cost
from hemexp.sweep.plan.job import SweepJob

GRID = [f"model.kernel_size={size} model.num_heads={heads} optimizer.lr={lr}"
        for size in (3, 5, 7) for heads in (1, 2, 4) for lr in ("1e-3", "3e-4")]  # fmt: skip


def build_jobs(settings: list[str], *shared: str) -> list[SweepJob]:
    base = load_config(TrainConfig, list(shared))
    if all(text.startswith("seed=") for text in settings):
        configs = [replace(base, seed=int(text.removeprefix("seed="))) for text in settings]
    else:
        configs = [load_config(TrainConfig, [*shared, *text.split()]) for text in settings]
    return [SweepJob(number, Path("s", str(number)), (), cfg, {}) for number, cfg in enumerate(configs)]


def list_fits(items: list[WorkItem]) -> list[tuple[int, str, int]]:
    return [(each.job, each.stage, n) for item in items for each in item.ranges for n in range(each.start, each.stop)]


@pytest.mark.parametrize("capacity", [1, 2, 7])
def test_every_fit_of_every_job_is_in_one_item_and_an_item_has_one_shape(capacity: int):
    jobs = build_jobs(GRID)
    items = build_items(jobs, capacity)
    expected = [
        (job.number, stage, n) for job in jobs for stage, num in count_fits(job.cfg).items() for n in range(num)
    ]
    assert sorted(list_fits(items)) == sorted(expected)
    for item in items:
        assert len({repr(job.cfg.model) for job in item.jobs}) == 1
        assert len({each.stage for each in item.ranges}) == 1
        assert [job.number for job in item.jobs] == [each.job for each in item.ranges]
    assert len({item.name for item in items}) == len(items)
    assert [item.name for item in build_items(jobs, capacity)] == [item.name for item in items]
    both = [item for item in items if len(item.jobs) == 2]
    assert both  # fits of two learning rates share items


@pytest.mark.parametrize(("gpus", "sizes"), [(1, [200]), (4, [50] * 4), (8, [25] * 8)])
def test_networks_of_one_shape_are_cut_evenly_over_all_gpus(gpus: int, sizes: list[int]):
    where = f"where.devices={list(range(gpus))}".replace(" ", "")
    jobs = build_jobs([f"seed={seed}" for seed in range(200)], "evaluation=off", "where=gpus", where)
    items = build_items(jobs, gpus)
    assert [len(list_fits([item])) for item in items] == sizes
    assert [item.cost for item in items] == pytest.approx([items[0].cost] * gpus)


@pytest.mark.parametrize(("epochs", "shapes"), [(100, [9]), (1000, [3, 3, 3]), (5000, [1] * 9)])
def test_an_item_for_a_gpu_holds_as_many_shapes_as_take_about_half_a_minute(epochs: int, shapes: list[int]):
    jobs = build_jobs(GRID, "where=gpus", "where.devices=[0]", f"trainer.max_epochs={epochs}")
    items = build_items(jobs, 1)
    assert len(list_fits(items)) == len(set(list_fits(items))) == 18 * sum(count_fits(jobs[0].cfg).values())
    for stage in ("own", "folds", "training"):
        same = [item for item in items if item.ranges[0].stage == stage]
        assert [len({repr(job.cfg.model) for job in item.jobs}) for item in same] == shapes
    assert sum(item.cost for item in items) == pytest.approx(sum(estimate_cost(job.cfg) for job in jobs))


def test_on_cores_an_item_holds_fits_for_about_a_minute():
    long = build_items(build_jobs(["seed=0", "seed=1"]), 2)
    assert 8 <= max(len(list_fits([item])) for item in long) <= 32
    short = build_items(build_jobs(["seed=0", "seed=1"], "model=mlp", "trainer.max_epochs=1"), 2)
    assert Counter(item.ranges[0].stage for item in short) == {"own": 1, "folds": 2, "training": 1}  # both cores


def test_the_jobs_of_a_large_sweep_are_cut_in_waves_so_that_early_jobs_finish_early():
    jobs = build_jobs(["seed=0"])
    jobs = [replace(jobs[0], number=number, cfg=replace(jobs[0].cfg, seed=number)) for number in range(100)]
    items = build_items(jobs, 2)
    assert {item.wave for item in items} == {0, 1, 2}
    first = {job.number for item in items if item.wave == 0 for job in item.jobs}
    assert first == set(range(len(first)))
    ordered = sorted(items, key=lambda item: item.order)
    assert [item.wave for item in ordered] == sorted(item.wave for item in items)
    ready = WorkItem("job", (jobs[0],))
    assert ready.order < ordered[0].order  # a job that only has to finish is first


def test_jobs_that_train_alone_have_no_items():
    assert build_items(build_jobs(["model.kernel_size=3", "model.kernel_size=5"], "evaluation=off"), 2) == []
    assert len(build_items(build_jobs(["seed=0", "seed=1"], "evaluation=off"), 1)) == 1
    for overrides in (
        ["model=ridge2"],
        ["trainer.profiler=simple"],
        ["where.batch=false"],
        ["search=tpe", "search.prune=true"],
    ):
        assert build_items(build_jobs(["seed=0", "seed=1"], *overrides), 2) == []


@pytest.mark.parametrize(
    "overrides", [[], ["evaluation.patients=train"], ["evaluation.num_refits=7", "evaluation.label_repeats=1"]]
)
def test_a_run_has_at_most_as_many_fits_as_were_cut(overrides: list[str]):
    cfg = load_config(TrainConfig, overrides)
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    fits = EvaluationPlan(cfg, data, list_definitions(cfg)).fits
    counts = count_fits(cfg)
    for stage in ("folds", "training", "refits"):
        assert len(fits[stage]) == counts[stage], stage
    assert len(fits["labels"]) <= counts["labels"]
    assert bool(fits["labels"]) == bool(counts["labels"])
    assert fits.keys() - counts.keys() == {
        "baselines",
        "label_baselines",
        "test",
        "centers",
        "center_baselines",
    }  # trained when the job finishes
    assert all(len(np.unique(fit.rows)) for fit in fits["folds"])
