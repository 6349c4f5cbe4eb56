"""The sweeps of conf/experiment and the jobs that they run."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from small import FAST

from hemexp.config import MODELS, BoostingConfig, TabularConfig, TrainConfig, config_hash
from hemexp.config.compose import CONFIG_DIR, label_definitions, load_config, register_schemas
from hemexp.report.run.reproduce import single_run
from hemexp.sweep.plan.overrides import combinations
from hemexp.sweep.plan.space import parse_space

READY = ("sweep_paper", "sweep_models", "sweep_labels", "sweep_seeds", "search_sacnn")


def composed(*overrides: str) -> Any:
    register_schemas()
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)


def jobs_of(name: str, *overrides: str) -> list[list[str]]:
    config = composed(f"experiment={name}")
    assert config.hydra.mode.name == "MULTIRUN"  # so that it is a sweep without -m too
    return combinations(config, [f"experiment={name}", *overrides], OmegaConf.to_container(config.hydra.sweeper.params))


def test_the_paper_sweep_is_the_contracts_18_jobs_with_the_papers_settings():
    jobs = jobs_of("sweep_paper")
    assert len({tuple(job) for job in jobs}) == 18
    assert ["experiment=sweep_paper", "model.kernel_size=5", "model.num_heads=2", "optimizer.lr=0.0003"] in jobs
    center = ["model.kernel_size=3", "model.num_heads=4", "optimizer.lr=1e-3"]
    cfg = load_config(TrainConfig, ["experiment=sweep_paper", *center])
    assert config_hash(cfg) == config_hash(load_config(TrainConfig, ["experiment=paper"]))


def test_the_command_line_wins_over_what_an_experiment_sweeps():
    assert len(jobs_of("sweep_paper", "model.num_heads=1")) == 6
    assert len(jobs_of("sweep_paper", "model.num_heads=2,8", "seed=0,1")) == 24
    assert all("model.num_heads=1" in job for job in jobs_of("sweep_paper", "model.num_heads=1"))


def test_every_seed_is_a_job():
    assert [job[-1] for job in jobs_of("sweep_seeds")] == [f"seed={seed}" for seed in range(20)]


def test_every_label_and_every_model_without_extras_is_a_job():
    swept = {job[-1].removeprefix("label=") for job in jobs_of("sweep_labels")}
    assert swept == set(label_definitions())
    models = {job[-1].removeprefix("model=") for job in jobs_of("sweep_models")}
    everything = {name for name, entry in MODELS.items() if entry.target}
    for name in everything - models - {"firth"}:  # wants fewer inputs than patients, the sweep has the paper's 72
        model = load_config(TrainConfig, [f"model={name}"]).model
        assert isinstance(model, BoostingConfig | TabularConfig), f"model={name} needs no extra: add it to sweep_models"
    assert models <= everything


@pytest.mark.slow
@pytest.mark.parametrize("name", READY[:4])
def test_every_job_of_a_ready_sweep_passes_its_rules(name: str):
    jobs = jobs_of(name)
    assert len({config_hash(load_config(TrainConfig, job)) for job in jobs}) == len(jobs)


def test_the_ready_search_spans_a_space_of_the_network_for_each_way_to_search():
    for way in ("random", "tpe"):
        config = composed("experiment=search_sacnn", f"search={way}")
        assert (config.search.name, config.search.num_trials) == (way, 30)
    space = parse_space(["experiment=search_sacnn"], OmegaConf.to_container(config.hydra.sweeper.params))
    assert {"model.kernel_size", "optimizer.lr"} <= set(space.settings)


@pytest.mark.slow
def test_a_ready_sweep_runs_without_m(run_command: Any, workbooks: Path, tmp_path: Path):
    done = run_command(
        "train.py", "experiment=sweep_paper", "model.kernel_size=3", "model.num_heads=1", f"data.root={workbooks}",
        "hydra.sweep.dir=sweep", *FAST,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "sweep").glob("*/DONE")) == ["DONE", "DONE"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=sweep_paper", "model.kernel_size=5"],
        ["experiment=search_sacnn", "search=tpe", "search.num_trials=3", "model.dropout=0.1"],
        ["search=random", "where=gpus", "where.devices=[0,1]", "hydra.sweep.dir=x", "model.kernel_size=5"],
        ["model.kernel_size=5", "optimizer.lr=0.001"],
    ],
)
def test_the_page_gives_a_command_that_runs_one_job_of_a_sweep(overrides: list[str]):
    program, script, *arguments = single_run(overrides)
    config = composed(*arguments)
    assert (program, script) == ("hemexp", "train")
    assert config.hydra.mode is None or config.hydra.mode.name == "RUN"
    assert config.search.name == "grid"
    assert config.where.name == "local"
    kept = {each for each in overrides if each.startswith(("model.", "optimizer.", "evaluation."))}
    assert kept <= set(arguments)


def test_the_honest_network_is_the_candidate_that_nested_cross_validation_chose():
    sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
    from nested import NETWORKS

    chosen = load_config(TrainConfig, [*NETWORKS["eight, admission, recalibrated"]])
    assert config_hash(load_config(TrainConfig, ["experiment=sacnn_honest"])) == config_hash(chosen)
