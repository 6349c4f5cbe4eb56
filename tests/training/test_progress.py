"""The progress bar, and the message after an interruption."""

import json
from pathlib import Path

import pytest

from hemexp.commands.train import train
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import Interrupted
from hemexp.evaluation import evaluate
from hemexp.training.progress import EpochBar


def test_an_unknown_loss_is_not_shown_as_nan(capsys: pytest.CaptureFixture[str]):
    with EpochBar("training sacnn", 10, show=True) as bar:
        bar.advance(4, 0, float("nan"))
    with EpochBar("fitting ridge2", 5, show=True, unit="fits") as bar:
        bar.advance(1, 0, 0.25)
        bar.advance(1, 2, float("nan"))
    first, second = capsys.readouterr().out.splitlines()
    assert "nan" not in first + second
    assert "4/10 epochs  loss -" in " ".join(first.split()).replace("epochs loss", "epochs  loss")
    assert "2/3 fits  loss 0.2500" in " ".join(second.split()).replace("fits loss", "fits  loss")


def test_an_interruption_of_the_evaluation_says_that_the_model_is_trained(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(*_: object, **options: object) -> None:
        raise Interrupted("interrupted after epoch 7")

    monkeypatch.setattr(evaluate, "fit_missing", stop)
    options = [f"data.root={workbooks}", "trainer.progress_bar=false", "trainer.max_epochs=2"]
    with pytest.raises(Interrupted, match=r"in the evaluation; the training of the model is complete; .*res"):
        train(load_config(TrainConfig, options), tmp_path)
    verdict = json.loads((tmp_path / "result.json").read_text())["verdict"]
    assert verdict.startswith("INCOMPLETE: interrupted in the evaluation")
