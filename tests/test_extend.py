"""The files and commands of docs/extend.md, with the installed package, in a folder outside of the sources."""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small import ROOT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
SECTIONS = dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])
TESTED = [title for title, text in SECTIONS.items() if "```bash" in text]
FILES = {name: text for _, name, text in re.findall(r"```(\w+)\n# (\S+\.\w+)\n(.*?)```", PAGE, flags=re.DOTALL)}
QUICK = ["trainer.max_epochs=2", "trainer.progress_bar=false", "evaluation.num_repeats=1", "evaluation.num_folds=2"]
QUICK += ["evaluation.threshold_repeats=0"]


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def scores(folder: Path, name: str) -> set[float]:
    """Return the values of a score in all runs of a folder."""
    return {read(path.parent)["metrics"][name]["value"] for path in folder.rglob("DONE")}


class User:
    """A user with the installed package: runs the commands of the page, and checks what each leaves."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder, self.site = programs, folder, folder / "site"
        self.runs = folder / "runs"
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def call(self, line: str, code: int = 0) -> str:
        program, *arguments = shlex.split(line)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(self.programs / program), *arguments]
        if program == "pip":
            command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--target", str(self.site)]
        elif self.site.is_dir():
            environment["PYTHONPATH"] = str(self.site)
        if arguments[0] == "train":
            command += QUICK
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == code, f"{line}\n{done.stderr}"
        settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        if arguments[0] in ("train", "predict") and not code:
            check = self.check_sweep if "-m" in arguments else getattr(self, f"check_{arguments[0]}")
            check(settings)
        return done.stderr

    def check_train(self, settings: dict[str, str]) -> None:
        result = read(self.folder / settings["output_dir"])
        config = result["config"]
        own = {"wide": "custom"}  # a YAML file with settings of it
        model = settings.get("model", "sacnn")
        assert (result["status"], config["model"]["name"]) == ("done", own.get(model, model))
        for name in ("label", "features"):
            assert config[name]["name"] == settings.get(name, config[name]["name"])
        assert result["cross_validation"]["num_fits"] == 2
        assert all(math.isfinite(result["metrics"][f"{part}/brier"]["value"]) for part in ("cv", "test"))

    def check_sweep(self, settings: dict[str, str]) -> None:
        swept = {name: value.split(",") for name, value in settings.items() if "," in value}
        jobs = pd.read_csv(self.folder / settings["hydra.sweep.dir"] / "leaderboard.csv", dtype=str)
        assert len(jobs) == math.prod(map(len, swept.values())) > 1
        assert set(jobs["status"]) == {"done"}
        assert jobs["cv/brier"].astype(float).between(0, 1).all()
        assert all(jobs[name].nunique() == len(values) for name, values in swept.items())

    def check_predict(self, settings: dict[str, str]) -> None:
        own, new = (
            pd.read_csv(self.folder / settings[key] / "predictions.csv", dtype={"patient_id": str})
            for key in ("run_dir", "output_dir")
        )
        both = own.merge(new, on="patient_id")
        assert len(own) == len(new) == len(both) > 50
        assert (both["probability_x"] - both["probability_y"]).abs().max() < 1e-6


@pytest.fixture
def user(installed: Path, tmp_path: Path) -> User:
    assert not tmp_path.is_relative_to(ROOT)
    return User(installed, tmp_path)


def check_network(user: User) -> None:
    command = "hemexp predict run_dir=runs/perceptron data=synthetic"
    error = user.call(command, code=2)
    assert error.endswith("needs my_models.Perceptron, which is not a part of hemexp; if you trust this code, "
                          "add plugins=[my_models]\n")  # fmt: skip
    shutil.move(user.folder / "my_models.py", user.folder / "other.py")
    assert "there is no module my_models" in user.call(f"{command} plugins=my_models", code=2)


def check_settings(user: User) -> None:
    assert read(user.runs / "token")["config"]["model"]["depth"] == 2
    assert read(user.runs / "wide")["config"]["model"]["args"] == {"hidden": 128, "dropout": 0.5}
    assert "model.depth" in user.call("hemexp train model=class_token model.depth=deep", code=2)


def check_loss(user: User) -> None:
    assert len(scores(user.runs / "gammas", "cv/brier")) == 2
    assert read(user.runs / "rms")["config"]["optimizer"]["target"] == "torch.optim.RMSprop"
    assert "add engine=lightning" in user.call("hemexp train loss=custom loss.target=my_losses.focal", code=2)


def check_callback(user: User) -> None:
    events = EventAccumulator(str(user.runs / "norm" / "tensorboard")).Reload()
    norms = [event.value for event in events.Scalars("gradient_norm")]
    assert len(norms) == 2
    assert min(norms) > 0


def check_metric(user: User) -> None:
    assert {"test/f2", "cv/f2", "cv/BinaryMatthewsCorrCoef"} <= set(read(user.runs / "scored")["metrics"])
    jobs = pd.read_csv(user.runs / "kernels" / "leaderboard.csv")
    assert (jobs["score"] == jobs["cv/f2"]).all()
    assert jobs["score"].is_monotonic_decreasing
    assert "test/f2" in json.loads((user.runs / "scored_new" / "result.json").read_text())["metrics"]


def check_label(user: User) -> None:
    label = read(user.runs / "strict")["config"]["label"]
    assert (label["absolute_ml"], label["relative"], label["window_hours"]) == (10.0, None, 36.0)
    assert len(scores(user.runs / "labels", "cv/brier")) == 2
    assert read(user.runs / "outcome")["label_definition"] == "grew_or_died is yes, as the file states it"
    table = pd.read_csv(user.folder / "labelled" / "scans.csv")
    assert set(table.groupby("patient_id")["grew_or_died"].first().dropna()) == {0, 1}


def check_inputs(user: User) -> None:
    result = read(user.runs / "bedside")
    assert result["inputs"] == ["age", "systolic", "onset_to_first_scan", "log_volume"]
    assert result["input_group"] == "bedside"


MORE: dict[str, Callable[[User], None]] = {
    "Your own network": check_network,
    "A network with settings": check_settings,
    "A scikit-learn classifier": lambda user: None,
    "Your own loss, optimizer and schedule": check_loss,
    "Callbacks and arguments of the Trainer": check_callback,
    "Your own metric": check_metric,
    "Your own label": check_label,
    "Your own group of inputs": check_inputs,
}


@pytest.mark.slow
@pytest.mark.parametrize("title", TESTED)
def test_the_files_and_commands_of_a_section_work_with_the_installed_package(title: str, user: User):
    for block in re.findall(r"```bash\n(.*?)```", SECTIONS[title], flags=re.DOTALL):
        for line in block.splitlines():
            user.call(line)
    MORE[title](user)


def test_every_example_has_at_most_30_lines_and_every_section_trains_sweeps_and_predicts():
    assert set(TESTED) == set(MORE)
    for name, text in FILES.items():
        assert len([line for line in text.splitlines() if line.strip()]) <= 30, name
    for title in TESTED:
        for start in ("hemexp train ", "hemexp train -m ", "hemexp predict "):
            assert f"\n{start}" in SECTIONS[title], title


def test_every_example_is_a_file_or_a_command():
    starts = re.findall(r"```(\w+)\n(.*)\n", PAGE)
    assert len(starts) > 15
    assert all(language == "bash" or first.removeprefix("# ") in FILES for language, first in starts)
