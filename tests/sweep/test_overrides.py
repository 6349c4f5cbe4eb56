"""The jobs of a sweep hold exactly the values that were typed; what a sweep would ignore is refused."""

import json
import subprocess
from collections.abc import Callable
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from hemexp.config.compose import CONFIG_DIR, quote_paths, register_schemas
from hemexp.errors import UserError
from hemexp.sweep.plan.compose import JobComposer
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.overrides import combinations, read_overrides

Run = Callable[..., subprocess.CompletedProcess[str]]


def plan(*arguments: str, params: dict[str, Any] | None = None) -> list[SweepJob]:
    """Return the jobs of a grid as the command line plans them."""
    register_schemas()
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        given = quote_paths(["-m", *arguments])[1:]
        config = loader.load_configuration("train", given, run_mode=RunMode.MULTIRUN)
        jobs = combinations(config, list(config.hydra.overrides.task), params or {})
        composer = JobComposer(config, loader)
        return [composer.compose(overrides, number, overrides) for number, overrides in enumerate(jobs)]


@pytest.mark.parametrize(
    "swept",
    [
        {"optimizer.lr": ("1e-3,3e-4", [0.001, 0.0003]), "seed": ("range(2)", [0, 1])},
        {"trainer.patience": ("null,5", [None, 5]), "label.inclusive": ("true,false", [True, False])},
        {
            "model.channels": ("[8,8],[4,16]", [[8, 8], [4, 16]]),
            "model.init": ("zeros,'default'", ["zeros", "default"]),
        },
        {"model.dropout": ("range(0,0.3,0.1)", [0.0, 0.1, 0.2]), "++seed": ("choice(4,3)", [4, 3])},
    ],
)
def test_each_job_holds_exactly_the_values_that_were_typed(swept: dict[str, tuple[str, list[Any]]]):
    jobs = plan(*(f"{key}={text}" for key, (text, _) in swept.items()))
    expected = list(product(*(values for _, values in swept.values())))
    paths = [key.lstrip("+").split(".") for key in swept]
    assert [tuple(reduce(getattr, path, job.cfg) for path in paths) for job in jobs] == expected


def test_headers_in_quotation_marks_can_be_swept():
    jobs = plan("features=columns", "features.columns=[age],['Volume (mL), first',gcs]")
    assert [job.cfg.features.columns for job in jobs] == [["age"], ["Volume (mL), first", "gcs"]]


def test_what_an_experiment_sweeps_has_the_values_of_its_file():
    params = {"trainer.patience": None, "label.inclusive": False, "model.channels": [8, 8], "seed": "1,2"}
    jobs = plan(params=params)
    assert [
        (job.cfg.trainer.patience, job.cfg.label.inclusive, job.cfg.model.channels, job.cfg.seed) for job in jobs
    ] == [
        (None, False, [8, 8], 1),
        (None, False, [8, 8], 2),
    ]


def test_the_command_line_replaces_a_swept_key_also_where_it_is_given_with_its_group():
    _, added = read_overrides(["optimizer={lr: 0.5}"], {"optimizer.lr": "1e-3,1e-4", "seed": "0,1"})
    assert [override.input_line for override in added] == ["seed=0,1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["++model.droput=0.1,0.2"], r"model\.droput: there is no such key"),
        (["+label.absolut_ml=3,4"], r"did you mean label\.absolute_ml"),
        (["model=glob(s*)"], r"glob\(\) cannot be swept"),
        (["model.dropout=interval(0,1)"], "cannot sweep an interval"),
        (["seed=1,2", "seed=3"], "seed is given twice"),
        (["seed=1,2", "++seed=3,4"], "seed is given twice"),
        (["experiment=paper,sweep_paper"], r"hydra\.sweeper\.params=.*a job cannot set it"),
        (["where.num_workers=1,2"], "cannot be swept"),
        (["logger=csv,mlflow"], r"cannot be swept: .*'logger=\[csv,mlflow\]' gives every job all of them"),
    ],
)
def test_what_cannot_be_swept_is_refused(arguments: list[str], words: str):
    with pytest.raises(UserError, match=words):
        plan(*arguments)


def test_an_experiment_cannot_sweep_a_setting_of_hydra():
    with pytest.raises(UserError, match="a setting of Hydra cannot be swept"):
        read_overrides([], {"hydra.sweep.dir": "a,b"})


@pytest.mark.parametrize("content", ["where:\n  num_workers: 1", "hydra:\n  sweeper:\n    params:\n      seed: 1,2"])
def test_an_experiment_that_sets_what_the_sweep_has_once_is_not_swept(content: str, run_command: Run, tmp_path: Path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "x.yaml").write_text(f"# @package _global_\n{content}\n")
    done = run_command("train.py", "-m", f"--config-dir={tmp_path / 'mine'}", "experiment=paper,x")
    assert done.returncode == 2
    assert "a job cannot set it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_launcher_of_a_swept_experiment_is_not_ignored(run_command: Run, tmp_path: Path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /hydra/launcher: basic\n"
    (tmp_path / "mine" / "experiment" / "x.yaml").write_text(text)
    done = run_command("train.py", "-m", f"--config-dir={tmp_path / 'mine'}", "experiment=paper,x")
    assert done.returncode == 2
    assert "hydra/launcher" in done.stderr


def test_an_output_directory_of_an_experiment_is_not_ignored_in_a_sweep(run_command: Run, tmp_path: Path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "x.yaml").write_text("# @package _global_\noutput_dir: here\n")
    done = run_command("train.py", "-m", f"--config-dir={tmp_path / 'mine'}", "experiment=x", "seed=0,1")
    assert done.returncode == 2
    assert "output_dir=here: is for a single run" in done.stderr


@pytest.mark.slow
def test_two_jobs_with_one_configuration_are_one_job(run_command: Run, tmp_path: Path):
    fast = ["model=prevalence", "evaluation=off", "data.num_patients=30", "trainer.progress_bar=false"]
    done = run_command("train.py", "-m", "label.window_hours=24,24.0,48", *fast, "hydra.sweep.dir=s")
    assert done.returncode == 0, done.stderr
    assert "label.window_hours=24.0: is the same run as job 0 (label.window_hours=24); it runs once" in done.stderr
    assert sorted(path.parent.name for path in tmp_path.glob("s/*/DONE")) == ["0", "1"]
    rows = (tmp_path / "s" / "leaderboard.csv").read_text().splitlines()
    assert len(rows) == 3
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["counts"] == {"done": 2}
