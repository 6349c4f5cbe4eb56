"""Words of other templates: each is answered with hemexp's word, and never where hemexp has the same setting."""

import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from hydra.core.global_hydra import GlobalHydra
from small import ROOT

from hemexp import cli
from hemexp.config import PredictConfig, TrainConfig
from hemexp.config.compose import list_choices, load_config
from hemexp.config.foreign_words import Row, explain_arguments, list_known, list_rows
from hemexp.config.section import list_sections
from hemexp.errors import UserError

KNOWN = list_known(TrainConfig)
GROUPS = {name for name in KNOWN if KNOWN[name]} | set(list_choices())
WORDS = [(word, row) for row in list_rows() for word in row.words if word not in KNOWN or KNOWN[word]]
VALUES = {list[str]: "[a]", int: "3", float: "0.1", bool: "true", str: "minimal"}  # legal for most keys of a type
MORE = {  # what a key needs beside it, or a legal value of its own
    "tags": ["tags=[a]"],
    "model.target": ["model.target=torch.nn.Linear", "model.args.out_features=2"],
    "optimizer.target": ["optimizer.target=torch.optim.Adam"],
    "scheduler.target": ["scheduler.target=torch.optim.lr_scheduler.ExponentialLR", "scheduler.args.gamma=0.9"],
    "optimizer.momentum": ["optimizer=sgd", "optimizer.momentum=0.5"],
    "trainer.lightning.{name}": ["engine=lightning", "trainer.lightning.max_steps=3"],
    "scheduler.min_lr": ["scheduler.min_lr=1e-5"],
    "trainer.lightning.precision": ["trainer.lightning.precision=bf16-mixed"],
    "trainer.accelerator": ["trainer.accelerator=cpu"],
    "trainer.devices": ["trainer.devices=1"],
    "trainer.precision": ["trainer.precision=64"],
    "optimizer.args.{name}": ["optimizer.args.eps=1e-7"],
    "logger": ["logger=csv"],
    "data.root": [],
    "output_dir": ["output_dir=runs"],
}


def start(*arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what train.py writes when it refuses these arguments."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.command("train")
    written = capsys.readouterr()
    assert (end.value.code, written.out) == (2, "")
    return written.err


def expected(row: Row, key: str, value: str) -> str:
    use = row.use.replace("{value}", value).replace("{name}", key.rpartition(".")[2])
    return "; ".join([f"give {use}"] * bool(use)) + (f" ({row.note})" if use and row.note else row.note)


def test_only_keys_that_hemexp_has_are_named():
    for row in list_rows():
        assert not row.key or row.key in KNOWN
        for setting in shlex.split(row.use.removeprefix("-m ")):
            key, _, value = setting.replace(".{name}", "").replace("lightning.precision", "lightning").partition("=")
            section = next((section for section in list_sections() if key.rpartition(".")[0] == section.PREFIX), None)
            assert key in KNOWN or (section and key.rpartition(".")[2] in {item.name for item in fields(section)}), key
            is_one = value.isidentifier() and not value.isupper()
            if key in list_choices() and is_one:
                assert value in list_choices()[key], setting


@pytest.mark.parametrize("row", [row for row in list_rows() if row.use], ids=lambda row: row.words[0])
def test_what_a_row_advises_can_be_composed(row: Row):
    settings = []
    for setting in shlex.split(row.use.removeprefix("-m ")):
        key, _, value = setting.partition("=")
        if key in MORE and value != "gpu" and not (key == "logger" and value != "{value}"):
            settings += MORE[key]
        elif value in {"NAME", "gpu"} or "wandb" in value or "interval" in value or "DIR" in value:
            assert key in KNOWN  # the user gives a value, or another machine or package is needed
        else:
            types = {item.type for section in list_sections() for item in fields(section)
                     if f"{section.PREFIX}.{item.name}".lstrip(".") == key}  # fmt: skip
            kinds = {kind for each in types for kind in (each, *get_args(each))}
            settings.append(setting.replace("{value}", next((VALUES[kind] for kind in VALUES if kind in kinds), "3")))
    load_config(TrainConfig, settings)


def test_no_word_is_in_two_rows():
    words = [word for row in list_rows() for word in row.words]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(("word", "row"), WORDS, ids=[word for word, _ in WORDS])
def test_a_word_is_answered_in_one_line_before_anything_is_composed(
    word: str, row: Row, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    key, _, value = word.partition("=")
    value = value or "7"
    answer = expected(row, key, value)
    if not key.startswith("hydra"):
        monkeypatch.setattr(
            cli.hydra, "main", None
        )  # Hydra decides about its own settings, such as installed launchers
    for sign in ("", "+", "++"):
        if key.startswith("hydra") and sign:
            continue
        typed = f"{sign}{key}={value}"
        error = start(typed, "seed=1", capsys=capsys, monkeypatch=monkeypatch)
        assert error == f"error: {typed}: there is no such setting in hemexp; {answer}\n"
    error = start("-m", f"{key}={value}", "seed=1,2", capsys=capsys, monkeypatch=monkeypatch)
    assert error == f"error: {key}={value}: there is no such setting in hemexp; {answer}\n"
    if "/" not in key:
        for option in (f"--{key}={value}", f"--{key.replace('_', '-')} {value}"):
            error = start(*option.split(), capsys=capsys, monkeypatch=monkeypatch)
            rule = "is not an option; settings are written KEY=VALUE"
            advice = f"give {key}={value}" if key in KNOWN else answer
            assert error == f"error: {option}: {rule}; {advice}\n"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("-m optimizer.learning_rate=1e-3,1e-4", "give optimizer.lr=1e-3,1e-4"),
        ("-m trainer=gpu,cpu", "give trainer.accelerator=gpu"),
        ("trainer=gpu model=cnn", "give trainer.accelerator=gpu"),
        ("fit --trainer.max_epochs=5", "train.py always trains"),
        ("--trainer.max_epochs 5", "give trainer.max_epochs=5"),
        ("--model cnn", "give model=cnn"),
        ("--max_epochs", "give trainer.max_epochs=VALUE"),
        ("--frobnicate", "see --help"),
        ("callbacks.early_stopping.monitor=val/loss", "give trainer.patience=20"),
        ("model.net.lin1_size=64", "give model=NAME"),
        ("hydra.run.dir=x", "by output_dir=DIR"),
        (
            "model.lr=0.1",
            "it is a key of model=tabm or model=ft_transformer; add that choice, or give optimizer.lr=0.1",
        ),
        ("+model.lr=0.1", "add that choice, or give optimizer.lr=0.1"),
    ],
)
def test_words_in_their_usual_company(
    arguments: str, answer: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    error = start(*arguments.split(), capsys=capsys, monkeypatch=monkeypatch)
    assert answer in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "defaults:\n  - override /trainer: gpu",
            "trainer: there is no such setting in hemexp; give trainer.accelerator",
        ),
        ("trainer: gpu", "trainer=gpu: there is no such setting in hemexp; give trainer.accelerator=gpu"),
        (
            "optimizer:\n  learning_rate: 0.1",
            "optimizer.learning_rate: there is no such setting in hemexp; give optimizer.lr",
        ),
        ("ckpt_path: last.ckpt", "ckpt_path: there is no such setting in hemexp; the same command"),
        ("defaults:\n  - override /debug: fdr", "debug: cannot be chosen in a file; give debug=NAME"),
        (
            "hydra:\n  sweeper:\n    params:\n      lr: 0.1,0.2",
            "lr: there is no such setting in hemexp; give optimizer.lr",
        ),
    ],
)
def test_words_in_the_users_own_files(
    text: str, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    arguments = ["-m"] * ("hydra" in text) + [f"--config-dir={tmp_path}", "experiment=mine"]
    error = start(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert answer in error
    assert error.count("\n") == 1


def test_a_wrong_value_in_a_users_file_is_not_called_an_unknown_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\noptimizer:\n  lr: fast\n")
    error = start(f"--config-dir={tmp_path}", "experiment=mine", capsys=capsys, monkeypatch=monkeypatch)
    rule = "must be a number, above 0 and at most 1e+30"
    assert error == f"error: In the file experiment/mine.yaml: optimizer.lr=fast: {rule}\n"


def test_a_group_in_a_folder_of_the_user_is_left_to_hydra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "paths").mkdir()
    (tmp_path / "paths" / "cluster.yaml").write_text("# @package _global_\nseed: 3\noptimizer:\n  lr: -1\n")
    error = start(f"--config-dir={tmp_path}", "+paths=cluster", capsys=capsys, monkeypatch=monkeypatch)
    assert error == "error: optimizer.lr=-1.0: must be above 0 and at most 1e+30\n"


def test_no_setting_that_hemexp_has_is_answered():
    for section in list_sections():
        keys = [f"{section.PREFIX}.{item.name}".lstrip(".") for item in fields(section)]
        typed = [f"{key}={value}" for key in keys if key not in GROUPS for value in ("7", "gpu", "default")]
        command = TrainConfig if section.PREFIX else section
        assert list(explain_arguments(typed, command, list_choices())) == []
    typed = [f"{group}={name}" for group, names in list_choices().items() for name in names]
    typed += ["trainer={max_epochs:3}", "where.options.lr=3", "hydra.verbose=true"]
    assert list(explain_arguments(typed, TrainConfig, list_choices())) == []
    options = ["--config-dir=x", "--multirun", "-m", "-cd", "x", "--cfg", "job", "--help", "-sc", "install=bash"]
    assert list(explain_arguments(options, TrainConfig, list_choices())) == []


def test_an_entry_of_a_dictionary_that_other_arguments_define_is_not_answered(monkeypatch: pytest.MonkeyPatch):
    known = {**KNOWN, "callbacks": False}
    monkeypatch.setattr("hemexp.config.foreign_words.list_known", lambda schema: known)
    patience = "callbacks.early_stopping.patience=5"
    (answer,) = explain_arguments([patience], TrainConfig, {})
    assert "give trainer.patience=5" in answer[1]
    for other in ("callbacks=mine", "+callbacks.early_stopping._target_=lightning.pytorch.callbacks.EarlyStopping"):
        assert list(explain_arguments([patience, other], TrainConfig, {})) == []


def test_a_command_answers_only_with_its_own_settings():
    assert list(explain_arguments(["lr=0.1"], PredictConfig, {})) == []
    assert len(list(explain_arguments(["data_dir=x", "ckpt_path=x"], PredictConfig, {}))) == 2


def test_python_gets_the_same_answer():
    with pytest.raises(UserError, match=r"^lr: there is no such setting in hemexp; give optimizer\.lr=0\.1$"):
        load_config(TrainConfig, ["+lr=0.1"])


def test_the_page_holds_the_table():
    page = (ROOT / "docs" / "other_templates.md").read_text(encoding="utf-8").splitlines()
    for row in list_rows():
        words = ", ".join(f"`{word}`" for word in row.words[:3])
        use = f"`{row.use.replace('{value}', 'VALUE').replace('{name}', 'KEY')}`" if row.use else ""
        assert f"| {words} | {'; '.join(filter(None, (use, row.note)))} |" in page
