"""Optimizer, schedule and loss in a run, in its evaluation, in a sweep and in the audit."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from small import FAST, QUIET
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hemexp.commands.hparams import get_hparams, select_hparams
from hemexp.commands.train import train
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.evaluation.pipeline import build_pipeline
from hemexp.evaluation.plan import own_member

OPTIONS = [
    "model=mlp", "optimizer=sgd", "optimizer.nesterov=true", "scheduler=warmup_cosine", "loss=focal",
    "trainer.gradient_clip_val=0.5", "trainer.stop_loss=null",
]  # fmt: skip
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.usefixtures("undrawn")
def test_a_run_uses_and_records_the_options(workbooks: Path, tmp_path: Path):
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", *QUIET, *OPTIONS, "trainer.max_epochs=10"])
    result = train(cfg, tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["lr"].tolist()[:3] == [0.005, 0.01, pytest.approx(0.01 * 0.9698463103929542)]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert len(events.Scalars("lr")) == 10
    card = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert card["training"]["optimizer"]["momentum"] == 0.9
    assert card["training"]["loss"] == {"name": "focal", "gamma": 2.0}
    hparams = get_hparams(cfg)
    assert hparams["scheduler.warmup"] == 0.1
    assert hparams["trainer.gradient_clip_val"] == 0.5
    shown = select_hparams(cfg, result, {})
    assert {"optimizer.name": "sgd", "scheduler.name": "warmup_cosine", "loss.name": "focal"}.items() <= shown.items()


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_a_schedule_has_no_column_of_rates(workbooks: Path, tmp_path: Path):
    train(load_config(TrainConfig, [f"data.root={workbooks}", *FAST, "model=mlp", "loss=weighted"]), tmp_path / "run")
    assert pd.read_csv(tmp_path / "run" / "history.csv").columns.tolist() == ["epoch", "train/loss", "train/accuracy"]


def test_every_fit_of_an_evaluation_has_the_options_of_the_run():
    cfg = load_config(TrainConfig, [*OPTIONS, "data.num_patients=60", "split=stratified"])
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    for member in (own_member(cfg, data), build_pipeline(cfg, data).member(data.fitted_indices, 0)):
        assert (member.optimizer, member.scheduler, member.loss) == (cfg.optimizer, cfg.scheduler, cfg.loss)


@pytest.mark.slow
def test_a_sweep_takes_several_choices_of_each_group(run_command: Run, tmp_path: Path):
    choices = ["optimizer=adam,sgd", "scheduler=none,plateau", "loss=cross_entropy,weighted"]
    done = run_command("train.py", "-m", *choices, *FAST, "model=mlp", "hydra.sweep.dir=s", "data.num_patients=60")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "s" / "leaderboard.csv")
    assert table["status"].tolist() == ["done"] * 8
    seen = set()
    for job in sorted((tmp_path / "s").glob("*/.hydra/config.yaml")):
        content = yaml.safe_load(job.read_text())
        names = tuple(content[group]["name"] for group in ("optimizer", "scheduler", "loss"))
        seen.add(names)
        columns = pd.read_csv(job.parent.parent / "history.csv").columns
        assert ("lr" in columns) == (names[1] == "plateau")
    assert len(seen) == 8


@pytest.mark.slow
def test_an_audit_uses_the_options_and_does_not_mix_them(run_command: Run, tmp_path: Path):
    quick = ["data.num_patients=60", "only=honest_60_40", "num_seeds=1", "trainer.max_epochs=5"]
    quick += ["output_dir=a", "trainer.progress_bar=false", "models=all"]
    done = run_command("audit.py", *quick, "loss=weighted")
    assert done.returncode == 0, done.stderr
    refused = run_command("audit.py", *quick)
    assert refused.returncode == 2
    assert "other settings" in refused.stderr


def test_tensorboard_names_a_class_of_the_user_and_not_the_choice_custom():
    own = ["model=custom", "model.target=sklearn.svm.SVC", "optimizer=custom", "optimizer.target=torch.optim.RAdam"]
    cfg = load_config(TrainConfig, own)
    hparams = get_hparams(cfg)
    assert (hparams["model.name"], hparams["optimizer.name"], hparams["loss.name"]) == ("SVC", "RAdam", "cross_entropy")
