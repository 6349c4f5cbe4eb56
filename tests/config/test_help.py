"""The text of ``--help``: every choice and every key with its help."""

import inspect
import re
import string
from dataclasses import fields
from functools import cache

import pytest
from hydra import compose, initialize_config_dir

from hemexp.config import cohort, commands, debug, models, optimization, sweeps, training
from hemexp.config.compose import CONFIG_DIR, SCHEMAS, register_schemas
from hemexp.config.help import read_choices
from hemexp.config.section import Section, get_key

SECTIONS = list(
    dict.fromkeys(
        section
        for module in (cohort, commands, debug, models, optimization, sweeps, training)
        for _, section in inspect.getmembers(module, inspect.isclass)
        if issubclass(section, Section) and section is not Section
    )
)
FOLDERS = (folder.name for folder in CONFIG_DIR.iterdir() if folder.is_dir() and folder.name != "__pycache__")
GROUPS = sorted(["model", *FOLDERS])
COMMANDS = [
    *((name, "") for name in SCHEMAS),
    *(
        ("train", f"{section.PREFIX}={section.NAMES[0]}")
        for section in SECTIONS
        if section.PREFIX in {"model", "optimizer", "scheduler", "loss"} and section.NAMES
    ),
    *(
        ("train", override)
        for override in (
            "where=gpus",
            "where=slurm",
            "where=ray",
            "split=kfold",
            "split=center",
            "data=workbook",
            "label=column",
            "features=available",
            "features=columns",
        )
    ),
]


@cache
def help_of(name: str, *overrides: str) -> str:
    """Return what ``--help`` prints."""
    register_schemas()
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3", job_name=name):
        config = compose(name, list(overrides), return_hydra_config=True)
    return string.Template(config.hydra.help.template).substitute()


@pytest.mark.parametrize(
    "section", sorted(SECTIONS, key=lambda section: section.__name__), ids=lambda section: section.__name__
)
def test_every_key_has_a_help_text(section: type[Section]):
    for item in fields(section):
        assert "key" in item.metadata, f"{section.__name__}.{item.name} is not defined with key()"
        assert get_key(item).help, f"{section.__name__}.{item.name} has no help"


def test_the_help_shows_every_key_of_every_section_and_fits_a_terminal():
    text = "\n".join(help_of(name, *filter(None, [override])) for name, override in COMMANDS)
    assert max(map(len, text.splitlines())) <= 120
    shown = set(re.findall(r"^[* ] ([\w.]+)=", text, flags=re.MULTILINE))
    words = " ".join(text.split())
    parts = {models.ConvolutionConfig, models.SelfAttentionConfig, models.TargetConfig, optimization.LowestRateConfig}
    for section in (each for each in SECTIONS if each not in parts):
        for item in fields(section):
            is_section = isinstance(item.type, type) and issubclass(item.type, Section)
            if not is_section and item.name not in {"name", "kind"}:  # the choices show these
                key = f"{section.PREFIX}.{item.name}".lstrip(".")
                assert key in shown
                assert f" {get_key(item).help}" in words, key


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_shows_every_choice_with_its_help(group: str):
    command, key = ("audit", "only") if group == "protocol" else ("train", group)
    text = " ".join(help_of(command).split())
    for name, words in read_choices(CONFIG_DIR / group).items():
        assert words, f"the first line of conf/{group}/{name}.yaml is not a comment"
        assert f"{key}={name} {words}" in text


def test_the_help_shows_default_unit_and_range():
    text = help_of("train")
    assert re.search(r"  optimizer\.lr=0\.001 +learning rate \[above 0 and at most 1e\+30\]", text)
    assert re.search(r"  label\.window_hours=48\.0 +time window .* \[hours; above 0 and at most 8760\]", text)
    assert re.search(r"  trainer\.batch_size=null +patients .* \[at least 1 or null\]", text)


def test_the_help_of_another_choice_is_named_in_the_help():
    assert "add it: --help scheduler=warmup_cosine." in help_of("train")
    assert "scheduler.warmup=0.1 " in help_of("train", "scheduler=warmup_cosine")
    assert "add it: --help data=synthetic." in help_of("predict")


def test_the_help_follows_the_choices_of_the_command_line():
    text = help_of("train", "model=mlp", "optimizer.lr=0.01")
    assert "* model=mlp" in text
    assert "model.hidden_dim=64" in text
    assert "model.num_heads" not in text
    assert "optimizer.lr=0.01 " in text
    assert "* debug=fast" in help_of("train", "debug=fast")
