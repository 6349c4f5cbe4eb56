"""A job composed from shared parts is the job that Hydra composes as a whole, in every byte; so are the messages."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from hemexp.config.compose import CONFIG_DIR, checked, quote_paths, register_schemas
from hemexp.sweep.plan.compose import JobComposer, to_yaml
from hemexp.sweep.plan.overrides import combinations


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    register_schemas()
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        yield


def plan(arguments: Sequence[str], params: dict[str, Any] | None = None) -> tuple[DictConfig, Any, list[list[str]]]:
    loader = GlobalHydra.instance().config_loader()
    config = loader.load_configuration("train", quote_paths(["-m", *arguments])[1:], run_mode=RunMode.MULTIRUN)
    assert config.hydra.sweep.dir  # from here on all names of directories hold the same time
    task: Any = OmegaConf.to_container(config.hydra.overrides.task)
    return config, loader, combinations(config, task, params or {})


def compose_whole(config: DictConfig, loader: Any, overrides: list[str], number: int) -> tuple[Any, dict[str, str]]:
    """Return the checked configuration and the files of .hydra/ as Hydra composes and writes them for one run."""
    whole = loader.load_sweep_config(config, overrides)
    with open_dict(whole):
        whole.hydra.job.id = whole.hydra.job.num = number
        whole.hydra.runtime.output_dir = str(Path(config.hydra.sweep.dir) / str(number))
    files = {
        "config.yaml": OmegaConf.to_yaml(OmegaConf.masked_copy(whole, [key for key in whole if key != "hydra"])),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.masked_copy(whole, "hydra")),
        "overrides.yaml": OmegaConf.to_yaml(whole.hydra.overrides.task),
    }
    return checked(whole, "train"), files


@pytest.mark.parametrize(
    ("arguments", "params", "num_whole"),
    [
        (["optimizer.lr=1e-3,5", "seed=range(2)", "++model.kernel_size=3"], {}, 1),
        (["seed=1,2", "model=cnn,logistic", "label=onset_24h", "tags=[a,'b: c']"], {}, 2),
        (["model=logistic", "model.C=0.1,null", "label.inclusive=false,true"], {}, 1),
        (["model.channels=[8,8],[4,16]", "model.init=zeros,'default'"], {}, 1),
        (["model={kernel_size: 5},{kernel_size: 7, num_heads: 2}", "model.embed_dim=8"], {}, 1),
        (["features=columns", "features.columns=[age],['Volume (mL), first',gcs]"], {}, 1),
        (["model.hidden_dim='${model.embed_dim}',8", "model.embed_dim=16,32"], {}, 1),
        ([f"label.name='{'a long name of many words ' * 8}','x: #y'", "seed='3'"], {}, 1),
        (["where=slurm", "where.options.comment='a: b'", "where.options.nice=3", "seed=1,2"], {}, 1),
        (["experiment=paper"], {"trainer.patience": None, "model.channels": [8, 8], "seed": "1,2"}, 1),
        (["experiment=paper,brain", "debug=fast,overfit"], {}, 4),
        (["~debug", "seed=1,2"], {}, 2),
    ],
)
def test_every_job_has_the_configuration_and_the_files_of_hydra(
    arguments: list[str], params: dict[str, Any], num_whole: int, monkeypatch: pytest.MonkeyPatch
):
    config, loader, jobs = plan(arguments, params)
    expected = [compose_whole(config, loader, overrides, number) for number, overrides in enumerate(jobs)]
    loaded: list[list[str]] = []
    load = loader.load_sweep_config
    monkeypatch.setattr(loader, "load_sweep_config", lambda *args: loaded.append(args[1]) or load(*args))
    composer = JobComposer(config, loader)
    composed = [composer.compose(overrides, number, overrides) for number, overrides in enumerate(jobs)]
    assert [(job.cfg, job.hydra_files) for job in composed] == expected
    assert len(loaded) == num_whole


@pytest.mark.parametrize(
    "arguments",
    [
        ["model.kernel_size=3.5"],
        ["optimizer.lr=fast"],
        ["model.nothing=3"],
        ["nothing=3"],
        ["model=nothing"],
        ["++model.droput=0.1"],
        ["+label.absolut_ml=3"],
        ["+seed=1"],
        ["++model=cnn"],
        ["model@here=cnn"],
        ["seed=-1"],
        ["model.kernel_size=9223372036854775808"],
        ["model.num_heads=5", "model.embed_dim=16"],
        ["model=logistic", "split.val_fraction=0.2"],
        ["seed='${nothing}'"],
    ],
)
def test_a_wrong_job_has_the_message_of_hydra(arguments: list[str]):
    config, loader, _ = plan(["optimizer.weight_decay=0,1"])
    with pytest.raises(Exception) as expected:  # noqa: PT011 - of Hydra, OmegaConf or hemexp
        compose_whole(config, loader, arguments, 0)
    with pytest.raises(expected.type) as raised:
        JobComposer(config, loader).compose(arguments, 0, ["x=1"])
    assert str(raised.value).removeprefix("job 0 (x=1): ") == str(expected.value)
    assert str(raised.value.__cause__) == str(expected.value.__cause__)


def test_yaml_written_in_parts_is_the_yaml_of_omegaconf():
    text = "words that are folded, because the line is longer than eighty characters: # " * 3
    values = {
        "a": text,
        "b": "two\nlines\n",
        "c": "",
        "d": None,
        "e": [],
        "f": {},
        "g": ["x", {"y": [1, 2]}],
        "h": True,
    }
    content = {
        **values,
        "no": "yes",
        "1": 1,
        "1e3": "1e3",
        "deep": {"deeper": {"()": values, "数据": "年龄"}, "é": -0.0},
    }
    assert to_yaml(content) == OmegaConf.to_yaml(content)
    assert to_yaml({}) == ""
