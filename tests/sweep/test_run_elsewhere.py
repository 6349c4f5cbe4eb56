"""A single run whose fits are trained at the place that ``where=`` names."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from small import FAST

from hemexp.commands.train import train
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.sweep import run_elsewhere

Run = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = [*FAST, "evaluation=standard", "evaluation.num_repeats=1", "evaluation.threshold_repeats=1"]
FILES = ("predictions.csv", "history.csv", "cv_predictions.csv", "cv_scores.csv", "uncertainty.csv")


@pytest.mark.parametrize("lost", ["", "own", "folds"])
def test_a_run_is_the_same_wherever_its_fits_are_trained(
    lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    cfg = load_config(TrainConfig, [*SETTINGS, "where=gpus", "where.devices=[0,1]"])
    monkeypatch.setattr(
        run_elsewhere, "build_backend", lambda *_: FakeBackend(lambda item: item.ranges[0].stage == lost)
    )
    elsewhere = run_elsewhere.train(cfg, tmp_path / "elsewhere")
    here = train(load_config(TrainConfig, SETTINGS), tmp_path / "here")
    assert elsewhere.metrics == here.metrics
    assert elsewhere.model_digest == here.model_digest
    for name in FILES:
        assert (tmp_path / "elsewhere" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name
    assert {path.name for path in (tmp_path / "elsewhere" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert ("were lost" in caplog.text) == bool(lost)
    again = run_elsewhere.train(cfg, tmp_path / "elsewhere")
    assert again == elsewhere


@pytest.mark.slow
def test_the_command_trains_on_simulated_gpus(tmp_path: Path, run_command: Run):
    done = run_command("train.py", *SETTINGS, "where=gpus", "where.devices=[0,1]", "output_dir=run")
    assert done.returncode == 0, done.stderr
    assert "11 fits in 3 work items, 2 at once" in done.stdout + done.stderr
    assert "with trainer.accelerator=cpu its GPUs are names only, and CPU cores train" in done.stderr
    assert (tmp_path / "run" / "DONE").is_file()


def test_a_place_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path):
    cfg = load_config(TrainConfig, [*SETTINGS, "where=gpus"])
    with pytest.raises(UserError, match=r"where=gpus: trainer\.accelerator=cpu does not train on a GPU"):
        run_elsewhere.train(cfg, tmp_path / "run")
    assert not (tmp_path / "run").exists()
