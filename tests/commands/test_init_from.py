"""A run that begins from the weights of another run: files, refusals, and patients who are not new."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra.errors import ConfigCompositionException
from small import FAST

from hemexp.cohort.synthetic import write_workbooks
from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import PredictConfig, SyntheticDataConfig, TrainConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.model_folder import read_model_card
from hemexp.files.result import CAVEATS, LEAKS, NO_LEAKAGE, RunResult
from hemexp.models.predictor import read_checkpoint

pytestmark = pytest.mark.usefixtures("undrawn")
LEAK = "LEAKAGE: init_includes_test"
SMALL = ["model=mlp", "model.hidden_dim=8", *FAST]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other patients than those of `workbooks`."""
    root = tmp_path_factory.mktemp("others")
    write_workbooks(SyntheticDataConfig("synthetic", num_patients=40, num_unlabelled=5, prevalence=0.3, seed=7), root)
    return root


def run(root: Path, directory: Path, *overrides: str) -> RunResult:
    return train(load_config(TrainConfig, [f"data.root={root}", *SMALL, *overrides]), directory)


@pytest.fixture(scope="module")
def first(workbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests only read it."""
    directory = tmp_path_factory.mktemp("first") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("run_figures", "evaluation_figures"):
            patch.setattr(f"hemexp.commands.train.{name}", lambda *_: {})
        run(workbooks, directory)
    return directory


def test_a_run_of_new_patients_begins_from_the_weights(
    first: Path, others: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    result = run(others, tmp_path / "a", f"model.init_from={first}", "seed=3")
    assert "602 of 602 are those of" in caplog.text
    assert "72 of 72 inputs agree by name" in caplog.text
    assert result.verdict == NO_LEAKAGE
    assert "began_from_weights" in result.caveats
    assert "earlier_patients_unknown" not in result.caveats
    drawn = run(others, tmp_path / "b", "seed=3")
    losses = [pd.read_csv(tmp_path / name / "history.csv")["train/loss"][0] for name in "ab"]
    assert losses[0] != losses[1]
    assert drawn.first_weights_digest is None
    assert result.first_weights_digest == json.loads((first / "result.json").read_text())["model_digest"]


def test_the_model_that_travels_does_not_name_the_other_run(first: Path, others: Path, tmp_path: Path):
    run(others, tmp_path / "a", f"model.init_from={first}")
    for file in (tmp_path / "a" / "model").iterdir():
        assert str(first).encode() not in file.read_bytes()
    assert "init_from" not in read_checkpoint(tmp_path / "a" / "model" / "best.ckpt")["networks"][0]["model"]
    assert "began_from_weights" in read_model_card(tmp_path / "a" / "model").caveats


def test_the_run_directory_its_folder_model_and_its_checkpoint_are_the_same_configuration(first: Path, tmp_path: Path):
    (tmp_path / "copy").mkdir()
    shutil.copy(first / "model" / "best.ckpt", tmp_path / "copy" / "other name.ckpt")
    places = [first, first / "model", first / "checkpoints" / "best.ckpt", tmp_path / "copy" / "other name.ckpt"]
    configs = [load_config(TrainConfig, [*SMALL, f"model.init_from={place}"]) for place in places]
    assert len({config_hash(cfg) for cfg in configs}) == 1
    assert config_hash(configs[0]) != config_hash(load_config(TrainConfig, SMALL))
    (tmp_path / "copy" / "other name.ckpt").write_bytes((first / "checkpoints" / "last.ckpt").read_bytes())
    assert config_hash(configs[3]) != config_hash(configs[0])


@pytest.mark.parametrize(
    ("overrides", "verdict"),
    [
        ((), NO_LEAKAGE),  # the same split, and no folds
        (("split=stratified", "seed=4"), LEAK),
        (("evaluation=standard", "evaluation.num_repeats=1", "evaluation.threshold_repeats=0"), LEAK),
        (("evaluation=standard", "evaluation.num_repeats=0", "evaluation.threshold_repeats=1"), LEAK),
    ],
    ids=["same split", "other split", "cross-validation", "folds in the training part"],
)
def test_held_out_patients_that_the_weights_know_are_a_leak(
    overrides: tuple[str, ...], verdict: str, first: Path, workbooks: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    result = run(workbooks, tmp_path / "a", f"model.init_from={first}", *overrides)
    assert result.verdict == verdict
    assert ("the first weights have learned from" in caplog.text) == (verdict == LEAK)
    assert "init_includes_test" in LEAKS


def test_a_copy_of_the_weights_without_its_run_is_a_caveat(first: Path, workbooks: Path, tmp_path: Path):
    shutil.copytree(first / "model", tmp_path / "model")
    result = run(workbooks, tmp_path / "a", f"model.init_from={tmp_path / 'model'}")
    assert result.verdict == NO_LEAKAGE
    assert "earlier_patients_unknown" in result.caveats
    assert {"earlier_patients_unknown", "began_from_weights"} <= set(CAVEATS)


def test_patients_of_the_run_before_the_other_run_are_not_new_either(
    first: Path, others: Path, workbooks: Path, tmp_path: Path
):
    run(others, tmp_path / "second", f"model.init_from={first}")
    third = run(workbooks, tmp_path / "third", f"model.init_from={tmp_path / 'second'}", "split=stratified", "seed=4")
    assert third.verdict == LEAK
    cfg = load_config(PredictConfig, [f"run_dir={tmp_path / 'second'}", f"data.root={workbooks}"])
    result = predict(cfg, tmp_path / "predictions")
    assert result.num_train == json.loads((first / "result.json").read_text())["num_train"]
    assert "began_from_weights" in result.caveats


def test_another_run_in_the_place_of_the_earlier_one_does_not_vouch_for_its_patients(
    first: Path, others: Path, workbooks: Path, tmp_path: Path
):
    shutil.copytree(first, tmp_path / "first")
    run(others, tmp_path / "second", f"model.init_from={tmp_path / 'first'}")
    shutil.rmtree(tmp_path / "first")
    run(others, tmp_path / "first", "seed=8")
    third = run(workbooks, tmp_path / "third", f"model.init_from={tmp_path / 'second'}")
    assert "earlier_patients_unknown" in third.caveats
    cfg = load_config(PredictConfig, [f"run_dir={tmp_path / 'second'}", f"data.root={workbooks}"])
    assert predict(cfg, tmp_path / "predictions").verdict.startswith("INCOMPLETE")


def test_an_interrupted_run_resumes_with_the_same_bits(
    first: Path, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begun = (f"model.init_from={first}", "trainer.max_epochs=6", "engine=lightning", "trainer.checkpoint_every=1")
    whole = run(others, tmp_path / "whole", *begun)
    from hemexp.training import lightning_engine

    save = lightning_engine.Trainer.save_checkpoint

    def stop(trainer, path, **options):
        save(trainer, path, **options)
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lightning_engine.Trainer, "save_checkpoint", stop)
        with pytest.raises(BaseException, match=r"interrupted|resumes"):
            run(others, tmp_path / "cut", *begun)
    assert run(others, tmp_path / "cut", *begun).model_digest == whole.model_digest


def test_no_weight_that_fits_ends_the_run_before_its_result(first: Path, others: Path, tmp_path: Path):
    custom = ["model=custom", "model.target=torch.nn.Linear", "model.args={out_features: 2}"]
    cfg = load_config(TrainConfig, [f"data.root={others}", *FAST, *custom, f"model.init_from={first}"])
    with pytest.raises(UserError, match=r"model\.init_from=.*no weight fits"):
        train(cfg, tmp_path / "a")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"FAILED"}


@pytest.mark.parametrize("case", ["missing", "empty folder", "sweep", "damaged", "estimator", "classifier"])
def test_what_cannot_be_begun_from_is_refused_before_anything_is_written(
    case: str, first: Path, workbooks: Path, tmp_path: Path, run_command: Callable
):
    place, more = tmp_path / "place", ()
    place.mkdir()
    if case == "missing":
        place, rule = tmp_path / "nowhere", "there is no such folder or file"
    elif case == "empty folder":
        rule = "does not hold a trained model"
    elif case == "sweep":
        (place / "leaderboard.csv").touch()
        rule = "is a sweep"
    elif case == "damaged":
        (place / "best.ckpt").write_bytes((first / "model" / "best.ckpt").read_bytes()[:-500])
        rule = "is cut, or is not a checkpoint"
    elif case == "estimator":
        train(load_config(TrainConfig, [f"data.root={workbooks}", "model=logistic", "model.C=1.0", *FAST]), place)
        rule = "is of model=logistic, not a network"
    else:
        place, rule = first, "only a network begins"
        more = ("model=custom", "model.target=sklearn.svm.SVC")
    chosen = more or ("model=mlp",)
    done = run_command(
        "train.py", f"data.root={workbooks}", *FAST, *chosen, f"model.init_from={place}", "output_dir=out"
    )
    assert done.returncode == 2
    assert rule in done.stderr
    assert "model.init_from=" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_estimator_does_not_have_the_key(first: Path):
    with pytest.raises(ConfigCompositionException, match="init_from"):
        load_config(TrainConfig, ["model=logistic", f"model.init_from={first}"])


@pytest.mark.slow
def test_a_sweep_begins_its_jobs_from_different_weights(
    first: Path, others: Path, tmp_path: Path, run_command: Callable
):
    sweep = [f"data.root={others}", *SMALL, "where.num_workers=2"]
    (tmp_path / "cut.ckpt").write_bytes(b"PK")
    swept = f"model.init_from=null,{first}"
    bad = run_command("train.py", "-m", *sweep, f"{swept},{tmp_path / 'cut.ckpt'}", "hydra.sweep.dir=sweep")
    assert bad.returncode == 2, bad.stderr
    assert not (tmp_path / "sweep").exists()
    done = run_command("train.py", "-m", *sweep, swept, "seed=0,1", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    results = [json.loads((tmp_path / "sweep" / str(number) / "result.json").read_text()) for number in range(4)]
    assert ["began_from_weights" in result["caveats"] for result in results] == [False, False, True, True]
    alone = run(others, tmp_path / "alone", f"model.init_from={first}", "seed=1")
    assert results[3]["model_digest"] == alone.model_digest
