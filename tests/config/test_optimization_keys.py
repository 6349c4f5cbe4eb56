"""The keys of optimizers, schedules and losses: each illegal value and combination is refused with the rule."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from small import ROOT

from hemexp.config import (
    AdamWConfig,
    AuditConfig,
    CosineConfig,
    FocalConfig,
    OptimizerConfig,
    SGDConfig,
    TrainConfig,
    config_hash,
)
from hemexp.config.compose import load_config
from hemexp.errors import UserError

CHOICES = [
    *(f"optimizer={name}" for name in ("adam", "adamw", "sgd")),
    *(f"scheduler={name}" for name in ("cosine", "step", "plateau", "warmup_cosine")),
    *(f"loss={name}" for name in ("weighted", "focal", "label_smoothing")),
    "trainer.gradient_clip_val=1",
]


def test_every_choice_changes_the_hash_and_the_defaults_do_not():
    assert len({config_hash(load_config(TrainConfig, [choice])) for choice in CHOICES}) == len(CHOICES)
    defaults = ["optimizer=adam", "scheduler=none", "loss=cross_entropy", "trainer.gradient_clip_val=null"]
    for overrides in (defaults, ["experiment=paper"]):
        assert config_hash(load_config(TrainConfig, overrides)) == config_hash(load_config(TrainConfig))


def test_a_choice_has_its_own_keys_and_defaults():
    cfg = load_config(TrainConfig, ["optimizer=sgd", "scheduler=cosine", "loss=focal", "loss.gamma=1"])
    assert cfg.optimizer == SGDConfig(0.01, 0.0, "sgd", 0.9, nesterov=False)
    assert cfg.scheduler == CosineConfig("cosine", min_lr=0.0)
    assert cfg.loss == FocalConfig("focal", gamma=1.0)
    assert load_config(TrainConfig, ["optimizer=adamw"]).optimizer == AdamWConfig(0.001, 0.01, "adamw")
    assert load_config(AuditConfig, ["optimizer=sgd", "loss=weighted"]).loss.name == "weighted"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("++optimizer.momentum=0.9", "optimizer.momentum: .* it is a key of optimizer=sgd;"),
        ("optimizer=adamw ++optimizer.nesterov=true", "it is a key of optimizer=sgd;"),
        ("++scheduler.factor=0.5", "it is a key of scheduler=plateau or scheduler=step;"),
        ("scheduler=step ++scheduler.min_lr=0", "scheduler=cosine or scheduler=warmup_cosine or scheduler=plateau;"),
        ("++loss.gamma=1", "it is a key of loss=focal;"),
        ("loss=weighted ++loss.epsilon=0.1", "it is a key of loss=label_smoothing;"),
        ("optimizer.name=sgd", "must be adam; set it by optimizer=NAME"),
        ("optimizer=sgd optimizer.momentum=1", r"optimizer.momentum=1.0: must be at least 0 and below 1"),
        ("optimizer=sgd optimizer.momentum=0 optimizer.nesterov=true", "needs optimizer.momentum above 0"),
        ("optimizer=adamw optimizer.weight_decay=-1", "optimizer.weight_decay=-1.0: must be 0 to 1000"),
        ("scheduler=cosine scheduler.min_lr=0.001", r"scheduler.min_lr=0.001: must be below optimizer.lr=0.001"),
        ("scheduler=plateau scheduler.min_lr=-1", "scheduler.min_lr=-1.0: must be 0 to"),
        ("scheduler=plateau scheduler.patience=-1", "scheduler.patience=-1: must be at least 0 epochs"),
        ("scheduler=plateau scheduler.threshold=1", "scheduler.threshold=1.0: must be at least 0 and below 1"),
        ("scheduler=step scheduler.every=0", "scheduler.every=0: must be at least 1 epochs"),
        ("scheduler=step scheduler.factor=1", "scheduler.factor=1.0: must be above 0 and below 1"),
        ("scheduler=warmup_cosine scheduler.warmup=0", "scheduler.warmup=0.0: must be above 0 and below 1"),
        ("loss=focal loss.gamma=-1", "loss.gamma=-1.0: must be 0 to 100"),
        ("loss=label_smoothing loss.epsilon=1", "loss.epsilon=1.0: must be above 0 and below 1"),
        ("trainer.gradient_clip_val=0", "trainer.gradient_clip_val=0.0: must be above 0 or null"),
    ],
)
def test_an_illegal_value_or_combination_is_refused_with_the_rule(overrides: str, words: str):
    with pytest.raises(UserError, match=words):
        load_config(TrainConfig, overrides.split())


def test_an_audit_refuses_a_lowest_rate_above_the_rate():
    with pytest.raises(UserError, match=r"scheduler\.min_lr=0\.1: must be below optimizer\.lr=0\.001"):
        load_config(AuditConfig, ["scheduler=cosine", "scheduler.min_lr=0.1"])


def test_a_choice_without_its_name_is_refused():
    with pytest.raises(UserError, match="must be sgd"):
        SGDConfig(lr=0.1)
    assert OptimizerConfig(lr=0.1).name == "adam"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["optimizer.momentum=0.9"], "optimizer.momentum: there is no such key here; it is a key of optimizer=sgd"),
        (["-m", "optimizer=sgd,adam", "optimizer.momentum=0.9"], "it is a key of optimizer=sgd"),
        (["optimizer=rmsprop"], "adamw"),
    ],
)
def test_the_command_line_says_which_choice_has_a_key(
    arguments: list[str], words: str, run_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
):
    done = run_command("train.py", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_commands_of_the_page_are_legal():
    page = (ROOT / "docs" / "training_options.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL) for line in block.splitlines()]
    for line in lines:
        arguments = [text for text in shlex.split(line)[2:] if text != "-m"]
        for last in (0, -1):  # of the values of a sweep
            singles = [f"{name}={value.split(',')[last]}" for name, _, value in (a.partition("=") for a in arguments)]
            assert load_config(TrainConfig, singles)
    assert len(lines) == 4
