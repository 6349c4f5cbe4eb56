"""Settings that no schema knows, that have no effect, or that no one can mean: each is refused with the rule."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import pytest
from hydra import compose, initialize_config_dir
from test_help import SECTIONS

from hemexp.config import AttentionConfig, MLPConfig, OptimizerConfig, SACNNConfig, TrainConfig, config_hash
from hemexp.config.compose import CONFIG_DIR, load_config, register_schemas
from hemexp.config.hydra_settings import check_hydra
from hemexp.config.section import LARGEST, SMALLEST, Section, get_key
from hemexp.errors import UserError

Run = Callable[..., subprocess.CompletedProcess[str]]
NUMBERS = {
    item
    for section in SECTIONS
    for item in fields(section)
    if {int, float} & {item.type, *get_args(item.type)} and "list" not in str(item.type)
}
TEXTS = [
    (section, item.name)
    for section in SECTIONS
    for item in fields(section)
    if "str" in str(item.type) and not get_key(item).choices
]


def compose_hydra(name: str, *overrides: str) -> None:
    register_schemas()
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3", job_name=name):
        check_hydra(compose(name, list(overrides), return_hydra_config=True))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("++trainer.gradient_clip=1", ["trainer.gradient_clip:", "give trainer.gradient_clip_val=1"]),
        ("+label.absolut_ml=3", ["label.absolut_ml", "did you mean label.absolute_ml"]),
        ("++model.droput=0.9", ["model.droput", "did you mean model.dropout"]),
        ("+Seed=3", ["Seed", "did you mean seed"]),
        ("++trainer.Max_Epochs=3", ["trainer.Max_Epochs", "did you mean trainer.max_epochs"]),
        ("+where.partition=long", ["where.partition", "where=slurm"]),
        ("++label.column=death", ["label.column", "label=column"]),
        ("+tag=[a]", ["tag", "did you mean tags"]),
        ("~seed", ["~seed", "cannot be deleted"]),
    ],
)
def test_a_key_that_no_schema_knows_is_refused_in_every_form(override: str, words: list[str]):
    with pytest.raises(UserError) as error:
        load_config(TrainConfig, [override])
    assert all(word in str(error.value) for word in words), str(error.value)


def test_an_unknown_key_in_an_experiment_of_the_user_is_refused(run_command: Run, tmp_path: Path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    file = tmp_path / "mine" / "experiment" / "x.yaml"
    file.write_text("# @package _global_\nmodel:\n  droput: 0.9\n")
    done = run_command("train.py", f"--config-dir={tmp_path / 'mine'}", "experiment=x")
    assert done.returncode == 2
    assert "experiment/x.yaml: model.droput: there is no such key" in done.stderr
    assert "did you mean model.dropout?" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_part_that_the_schema_declares_as_a_dictionary_stays_free():
    for override in ("where.options={qos: long}", "where.options.qos=long", "+where.options.qos=long"):
        assert load_config(TrainConfig, ["where=slurm", override]).where.options == {"qos": "long"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("hydra.job.chdir=true", "paths start at the folder of the caller"),
        ("hydra.output_subdir=null", "belong to every run"),
        ("hydra.run.dir=x", "output_dir=DIR"),
        ("hydra.sweep.subdir=x", "its number"),
        ("hydra.job.name=prepare", "cannot be set"),
        ("hydra.job.num=3", "cannot be set"),
        ("++hydra.job.speed=3", r"hydra\.job\.speed: there is no such key"),
        ("hydra.sweep.dir=s", "single run"),
        ("where.num_workers=2", "single run"),
        ("search.seed=2", "single run"),
        ("label.inclusive=7", "must be true or false"),
        ("label.inclusive='7'", "must be true or false"),
        ("label.name=baseline_24h", "changes the name only"),
        ("++data.planted_errors=1_000", "must be true or false"),
    ],
)
def test_a_setting_without_effect_or_that_breaks_a_run_is_refused(override: str, words: str):
    with pytest.raises(UserError, match=words):
        compose_hydra("train", override)


@pytest.mark.parametrize("override", ["hydra.verbose=true", "where=local", "hydra.mode=RUN"])
def test_a_setting_of_hydra_that_works_may_be_set(override: str):
    compose_hydra("train", override)


def test_the_check_of_the_settings_cannot_be_removed(run_command: Run, tmp_path: Path):
    done = run_command("train.py", "~hydra.callbacks.preflight_check")
    assert done.returncode == 2
    assert "cannot be set" in done.stderr
    assert list(tmp_path.iterdir()) == []


def with_value(section: type[Section], name: str, value: object) -> Section:
    """Return a section with its defaults and one other value, before its rules are checked."""
    instance = object.__new__(section)
    names = {"name": (*section.NAMES, "x")[0], "column": "x", "kind": "auto", "output_dir": "x"}
    for item in fields(section):
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        setattr(instance, item.name, names.get(item.name, default))
    setattr(instance, name, value)
    return instance


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), -float("inf"), -1e308, 1e308, -(10**18), 10**31, 1e-300]
)
def test_no_key_takes_a_number_that_no_one_means(number: float):
    tried = [(section, item.name) for section in SECTIONS for item in fields(section) if item in NUMBERS]
    assert len(tried) > 50
    for section, name in tried:
        with pytest.raises(UserError, match=name):
            Section.__post_init__(with_value(section, name, number))


def test_limits_of_a_key_may_be_narrower_or_wider_than_the_usual_ones():
    assert OptimizerConfig(lr=1e25).lr > LARGEST
    for value in (SMALLEST / 10, 1e31):
        with pytest.raises(UserError, match="lr"):
            OptimizerConfig(lr=value)


@pytest.mark.parametrize(("section", "name"), TEXTS, ids=lambda value: getattr(value, "__name__", value))
def test_no_text_may_be_empty(section: type[Section], name: str):
    is_list = "list" in str(next(item.type for item in fields(section) if item.name == name))
    for empty in ("", " "):
        with pytest.raises(UserError, match=f"{name}=.*must"):
            Section.__post_init__(with_value(section, name, [empty] if is_list else empty))


@pytest.mark.parametrize("key", ["data.root", "data.mapping", "output_dir", "label.name", "logger.experiment_name"])
def test_an_unset_variable_is_refused_with_the_rule(key: str):
    with pytest.raises(UserError, match=f"{re.escape(key)}=: must"):
        load_config(TrainConfig, [f"{key}="])


def test_a_network_that_no_memory_holds_is_refused_with_the_memory_that_it_needs():
    with pytest.raises(UserError, match="GiB of memory"):
        SACNNConfig("sacnn", channels=[65536, 65536])
    with pytest.raises(UserError, match=r"model\.embed_dim=65536.*GiB"):
        AttentionConfig("attention", embed_dim=65536)
    assert MLPConfig("mlp", hidden_dim=65536).hidden_dim == 65536


@pytest.mark.parametrize("name", ["available", "columns", "nonsense"])
def test_a_group_of_inputs_is_chosen_by_its_file(name: str):
    with pytest.raises(UserError, match="set it by features=NAME"):
        load_config(TrainConfig, [f"features.name={name}"])


def test_a_label_cannot_lead_out_of_its_directory():
    with pytest.raises(UserError, match=r"label\.name=\.\./x"):
        load_config(TrainConfig, ["label.name=../x"])


@pytest.mark.parametrize("name", ["2024_01_02", "1e5", "true", "a=b", "nan", "007", "range(3)", "a,b"])
def test_a_directory_has_the_name_that_was_typed(name: str):
    assert load_config(TrainConfig, [f"output_dir={name}"]).output_dir == name


def test_a_number_that_is_too_long_is_refused_without_a_trace(run_command: Run):
    done = run_command("train.py", f"optimizer.lr=1{'0' * 400}")
    assert (done.returncode, done.stderr) == (2, "error: optimizer.lr: the number is too large\n")


def test_minus_zero_is_zero():
    assert config_hash(load_config(TrainConfig, ["trainer.stop_loss=-0.0"])) == config_hash(
        load_config(TrainConfig, ["trainer.stop_loss=0"])
    )
