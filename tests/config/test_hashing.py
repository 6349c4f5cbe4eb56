"""The hash of a configuration: which values change it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from hemexp.config import (
    GrowthLabelConfig,
    OptimizerConfig,
    TrainConfig,
    config_hash,
    hashed_values,
    list_differences,
    resolve_data,
)
from hemexp.config.compose import load_config
from hemexp.config.section import Key, Section, key


@dataclass
class ExtendedOptimizerConfig(OptimizerConfig):
    """The optimizer of a later version, with one more key."""

    PREFIX: ClassVar[str] = "optimizer"
    inertia: float = key(0.9, "inertia", at_least=0, below=1)


@dataclass(kw_only=True)
class ExtendedTrainConfig(TrainConfig):
    """The configuration of a later version, with one more section."""

    second_optimizer: OptimizerConfig = field(
        default_factory=OptimizerConfig, metadata={"key": Key("another optimizer")}
    )


def test_values_that_change_the_numbers_of_a_run_change_the_hash(workbooks: Path):
    overrides = [
        "seed=1", "optimizer.lr=0.002", "data.seed=1", "model=cnn", f"data.root={workbooks}", "label.inclusive=false",
        "label=baseline_48h", "model.channels=[16,16]", "split=stratified", "debug.name=fast",
    ]  # fmt: skip
    hashes = {config_hash(load_config(TrainConfig, [override])) for override in ["seed=0", *overrides]}
    assert len(hashes) == len(overrides) + 1


@pytest.mark.parametrize(
    "override",
    [
        "output_dir=elsewhere", "tags=[a]", "where=slurm", "search.score=brier", "logger=csv", "data=synthetic",
        "trainer.progress_bar=false", "trainer.checkpoint_every=7", "trainer.profiler=simple",
    ],
)  # fmt: skip
def test_place_loggers_and_progress_bar_do_not_change_the_hash(override: str):
    assert config_hash(load_config(TrainConfig, [override])) == config_hash(load_config(TrainConfig))


def test_a_new_key_or_section_with_its_default_does_not_change_the_hash():
    cfg = load_config(TrainConfig, ["optimizer.lr=0.002"])
    later = ExtendedTrainConfig(**{**vars(cfg), "optimizer": ExtendedOptimizerConfig(lr=0.002)})
    assert config_hash(later) == config_hash(cfg)
    changed = replace(later, optimizer=ExtendedOptimizerConfig(lr=0.002, inertia=0.5))
    assert config_hash(changed) != config_hash(cfg)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["optimizer.lr=3e-4"], ["optimizer.lr=0.0003"]),
        (["optimizer.lr=1e-3"], []),
        (["label.window_hours=72"], ["label.window_hours=72.0"]),
        (["label=onset_72h"], ["label=onset_48h", "label.name=onset_72h", "label.window_hours=72"]),
        (["data=auto"], ["data=synthetic"]),
        (
            ["label=column", "label.column=mrs_90d", "label.at_least=3"],
            ["label=column", "label.column=mrs_90d", "label.at_least=3.0"],
        ),
    ],
)
def test_two_spellings_of_a_value_have_one_hash(one: list[str], other: list[str]):
    assert config_hash(load_config(TrainConfig, one)) == config_hash(load_config(TrainConfig, other))


def test_a_whole_number_is_hashed_like_the_same_float():
    assert config_hash(GrowthLabelConfig("a", window_hours=72)) == config_hash(
        GrowthLabelConfig("a", window_hours=72.0)
    )


def test_runs_of_earlier_versions_keep_their_hash():
    assert config_hash(load_config(TrainConfig)) == "3bf5f581304df05b"


def test_the_version_of_the_defaults_changes_the_hash(monkeypatch: pytest.MonkeyPatch):
    before = config_hash(OptimizerConfig())
    monkeypatch.setattr("hemexp.config.hashing.DEFAULTS_VERSION", 2)
    assert config_hash(OptimizerConfig()) != before


def test_only_changed_values_and_names_of_choices_are_hashed():
    values = hashed_values(load_config(TrainConfig, ["optimizer.lr=0.002"]))
    assert values.pop("defaults_version") == 1
    assert values == {
        "data": {"kind": "synthetic"},
        "label": {"name": "onset_48h"},
        "features": {"name": "paper"},
        "split": {"name": "paper"},
        "evaluation": {"name": "standard"},
        "model": {"name": "sacnn"},
        "optimizer": {"lr": 0.002},
    }


def test_differences_name_the_keys_that_both_configurations_have():
    section: Section = OptimizerConfig(lr=0.002)
    assert list_differences({"lr": 0.001, "old_key": 3}, section, "optimizer.") == [
        "optimizer.lr=0.001 there, 0.002 here"
    ]


def test_relative_roots_are_the_same_cohort(workbooks: Path, monkeypatch: pytest.MonkeyPatch):
    absolute = load_config(TrainConfig, [f"data.root={workbooks}"])
    monkeypatch.chdir(workbooks.parent)
    relative = load_config(TrainConfig, [f"data.root={workbooks.name}"])
    assert config_hash(absolute) == config_hash(relative)
    assert resolve_data(absolute.data) == absolute.data  # resolving twice changes nothing


def test_the_content_of_the_mapping_counts_and_not_its_name(tmp_path: Path):
    (tmp_path / "export.csv").write_text("id,age\nP1,60\n")

    def hash_of(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        data = [f"data.root={tmp_path / 'export.csv'}", f"data.mapping={tmp_path / name}"]
        return config_hash(load_config(TrainConfig, data))

    assert hash_of("a.yaml", "tables: []") == hash_of("b.yaml", "tables: []")
    assert hash_of("a.yaml", "tables: []") != hash_of("a.yaml", "tables: [1]")
