"""debug=fast, overfit and profile: runs that test the program and are marked as incomplete."""

import json
from pathlib import Path

import numpy as np
import pytest

from hemexp.commands.debug import check_overfit
from hemexp.commands.train import train
from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import CheckFailed, UserError

QUIET = "trainer.progress_bar=false"


def test_debug_overrides_an_experiment_and_the_command_line_overrides_both():
    cfg = load_config(TrainConfig, ["experiment=paper", "debug=fast"])
    assert (cfg.trainer.max_epochs, cfg.evaluation.num_repeats, cfg.model.kernel_size) == (3, 1, 3)
    assert load_config(TrainConfig, ["experiment=paper", "debug=fast", "trainer.max_epochs=5"]).trainer.max_epochs == 5
    assert load_config(TrainConfig, ["experiment=paper", "debug=overfit"]).evaluation.name == "off"
    assert load_config(TrainConfig, ["debug=overfit", "evaluation=standard"]).evaluation.name == "standard"
    honest = load_config(TrainConfig, ["experiment=sacnn_honest", "debug=overfit"])
    assert (honest.ensemble, honest.calibrate, honest.trainer.patience) == (1, "none", None)


def test_a_debug_run_has_another_config_hash():
    plain = load_config(TrainConfig, ["trainer.max_epochs=3"])
    assert config_hash(plain) != config_hash(load_config(TrainConfig, ["trainer.max_epochs=3", "debug.name=fast"]))
    with pytest.raises(UserError, match=r"debug\.num_patients=1"):
        load_config(TrainConfig, ["debug=overfit", "debug.num_patients=1"])


def test_a_model_that_does_not_overfit_fails_the_check():
    debug = load_config(TrainConfig, ["debug=overfit"]).debug
    check_overfit(debug, np.array([0.0, 1.0]), np.array([0.01, 0.99]))
    with pytest.raises(CheckFailed, match=r"0\.2231, not below 0\.05"):
        check_overfit(debug, np.array([0.0, 1.0]), np.array([0.2, 0.8]))


@pytest.mark.slow
def test_a_fast_run_does_every_step_and_stays_incomplete(workbooks: Path, tmp_path: Path):
    result = train(load_config(TrainConfig, ["debug=fast", f"data.root={workbooks}", QUIET]), tmp_path)
    assert result.status == "done"
    assert result.verdict.startswith("INCOMPLETE: debug=fast")
    assert "debug" in result.caveats
    assert result.epochs == 3
    assert result.cross_validation.num_repeats == 1
    assert result.thresholds
    assert (tmp_path / "DONE").is_file()


@pytest.mark.slow
def test_eight_patients_are_overfitted_unless_all_weights_start_at_zero(workbooks: Path, tmp_path: Path):
    options = ["debug=overfit", f"data.root={workbooks}", QUIET]
    assert train(load_config(TrainConfig, options), tmp_path / "learns").best_loss < 0.05
    with pytest.raises(CheckFailed, match="not below"):
        train(load_config(TrainConfig, [*options, "model.init=all_zeros"]), tmp_path / "inert")
    result = json.loads((tmp_path / "inert" / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["verdict"].startswith("INCOMPLETE: debug=overfit: the log loss of 8 overfitted patients")
    assert (tmp_path / "inert" / "FAILED").is_file()


@pytest.mark.slow
def test_a_model_that_cannot_learn_ends_with_1_and_a_message(run_command, tmp_path: Path):
    done = run_command("train.py", "debug=overfit", "model=prevalence", "output_dir=run")
    assert done.returncode == 1, done.stderr
    assert "not below 0.05" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_profiles_are_written_into_the_run_directory(workbooks: Path, tmp_path: Path):
    base = ["debug=profile", "trainer.max_epochs=60", f"data.root={workbooks}", QUIET]
    for name, mark in (("pytorch", "aten::bmm"), ("simple", "run_training_batch")):
        train(load_config(TrainConfig, [*base, f"trainer.profiler={name}"]), tmp_path / name)
        (table,) = (tmp_path / name / "profile").glob(f"*{name}.txt")
        assert mark in table.read_text()
    assert list((tmp_path / "pytorch" / "profile").glob("*.pt.trace.json"))
