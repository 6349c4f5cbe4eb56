"""The commands from the command line: exit codes, messages and imports."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from small import FAST, ROOT, STANDARD

from hemexp.config.compose import quote_paths
from hemexp.formatting import program

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("script", ["train.py", "prepare.py", "predict.py", "update.py", "report.py"])
def test_help_shows_the_keys(script: str, run_command: Run, tmp_path: Path):
    done = run_command(script, "--help")
    assert done.returncode == 0
    assert f"python {script}" in done.stdout
    assert "output_dir" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert ("data=auto" in done.stdout) == (script != "report.py")


def test_configuration_is_checked_without_torch_or_pandas():
    code = (
        "import sys\nfrom hemexp.cli import command\nsys.argv = ['train.py', 'model.kernel_size=4']\n"
        "try:\n    command('train')\nexcept SystemExit as stop:\n    assert stop.code == 2\n"
        "heavy = {'torch', 'lightning', 'pandas', 'matplotlib', 'sklearn', 'pandera'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_command_is_named_in_the_form_in_which_this_one_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py")])
    assert program("update") == f"python {ROOT / 'update.py'}"
    for other in ("/usr/bin/hemexp", "my_analysis.py", "/site-packages/ipykernel_launcher.py"):  # the last: a notebook
        monkeypatch.setattr(sys, "argv", [other])
        assert program("update") == "hemexp update"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.kernel_size=4"], ["model.kernel_size=4", "odd"]),
        (["model.kernel_siz=3"], ["model.kernel_siz", "did you mean model.kernel_size"]),
        (["modle=cnn"], ["did you mean model"]),
        (["optimizer.lr=fast"], ["optimizer.lr", "fast"]),
        (["model=resnet"], ["resnet", "sacnn", "plugins=[my_module]"]),
        (["--nonsense"], ["--nonsense"]),
        (["--cfg", "job", "--package", "nowhere"], ["nowhere"]),
        (["-m", "seed=0,1", "output_dir=x"], ["output_dir=x", "hydra.sweep.dir"]),
        (["-m", "seed=0,1", "++output_dir=x"], ["output_dir=x", "hydra.sweep.dir"]),
        (["data=synthetic", "data.root=."], ["data.root"]),
        pytest.param(
            ["-m", "seed=0,1", "trainer.accelerator=mps"], ["trainer.accelerator=mps"], marks=pytest.mark.slow
        ),
        (["-m", "seed=0,1", "model.kernel_size=4"], ["model.kernel_size=4"]),
        (["data.root=missing"], ["missing", "no such file or folder"]),
        pytest.param(["trainer.accelerator=mps"], ["trainer.accelerator=mps", "cpu"], marks=pytest.mark.slow),
    ],
)
def test_a_mistake_ends_with_2_a_message_and_no_trace(
    arguments: list[str], words: list[str], run_command: Run, tmp_path: Path
):
    done = run_command("train.py", *arguments)
    assert done.returncode == 2, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert "To append" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "word", "meant"),
    [
        ("report.py", "outputs/first", "did you mean run_dir=outputs/first?"),
        ("report.py", "sweep", "did you mean sweep_dir=sweep?"),
        ("predict.py", "cohort", "did you mean data.root=cohort?"),
        ("predict.py", "输出", "did you mean run_dir=输出?"),
        ("train.py", "fast", "see --help"),
    ],
)
def test_a_value_without_its_key_is_answered_with_the_key(
    script: str, word: str, meant: str, run_command: Run, tmp_path: Path
):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "leaderboard.csv").touch()
    (tmp_path / "cohort").mkdir()
    done = run_command(script, word)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {word}: settings are written KEY=VALUE, and a value with spaces in quotation marks; {meant}\n"
    )


def test_a_missing_gpu_is_refused(run_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run_command("train.py", "trainer.accelerator=gpu")
    assert done.returncode == 2
    assert "trainer.accelerator=gpu" in done.stderr
    assert "no CUDA GPU" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_bad_files_end_with_2_and_name_the_cell(run_command: Run, tmp_path: Path):
    (tmp_path / "scans.csv").write_text("patient_id,age\nsub001,sixty\nsub002,61\n")
    done = run_command("train.py", f"data.root={tmp_path}", "output_dir=run")
    assert done.returncode == 2
    assert "scans.csv" in done.stderr
    assert "scans.csv, cell B2: age is 'sixty'; rule: a number" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "FAILED").is_file()
    assert not (tmp_path / "run" / "DONE").exists()


def test_run_again_says_so_and_another_config_is_refused(run_command: Run, finished_run: Path, workbooks: Path):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    same = [f"data.root={workbooks}", *STANDARD, f"output_dir={finished_run}"]
    again = run_command("train.py", *same)
    assert again.returncode == 0, again.stderr
    assert "already done" in again.stdout
    other = run_command("train.py", *same, "seed=1")
    assert other.returncode == 2
    assert "seed=0 there, 1 here" in other.stderr
    assert {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")} == before


def test_a_directory_with_other_files_is_refused(run_command: Run, tmp_path: Path):
    (tmp_path / "thesis.docx").touch()
    for script in ("train.py", "prepare.py"):
        done = run_command(script, f"output_dir={tmp_path}")
        assert done.returncode == 2
        assert "choose a new directory" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_folders_may_have_any_name(run_command: Run, workbooks: Path, tmp_path: Path):
    root = tmp_path / "数据 (2023), 表1"
    shutil.copytree(workbooks, root)
    done = run_command("prepare.py", f"data.root={root}", "output_dir=输出")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "输出" / "scans.csv").is_file()


def test_paths_are_quoted_for_hydra_and_nothing_else_is():
    plain = ["data.root=../shared/cohort", "seed=1,2", "model.channels=[8,8]", "-m", "--help", r"data.root=C:\data\x"]
    assert quote_paths(plain) == plain
    assert quote_paths(["data.root=a,b"]) == ['data.root="a,b"']
    assert quote_paths(["-m", "data.root=a,b"]) == ["-m", "data.root=a,b"]
    assert quote_paths(["-m", "data.root=数据,b"]) == ["-m", 'data.root="数据",b']
    assert quote_paths(["-m", "hydra.sweep.dir=a,b"]) == ["-m", 'hydra.sweep.dir="a,b"']
    assert quote_paths(["data.root='数据'"]) == ["data.root='数据'"]
    parser = OverridesParser.create()
    for name in ("数据", "a (2)", "a,b", "C:\\数据\\", 'it"s 数', 'C:\\数"x'):
        (quoted,) = quote_paths([f"data.root={name}"])
        assert parser.parse_override(quoted).value() == name
    assert quote_paths(["callbacks=mine", "callbacks.a._target_=b"]) == ["callbacks=mine", "++callbacks.a._target_=b"]
    assert quote_paths(["output_dir=~/x"]) == [f"output_dir={Path.home()}/x"]


@pytest.mark.slow
def test_train_as_a_user(run_command: Run, tmp_path: Path):
    done = run_command("train.py", *FAST)
    assert done.returncode == 0, done.stderr
    assert "No leakage found" in done.stdout
    assert "always the majority" in done.stdout
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    assert run.name.startswith("synthetic-sacnn-paper-onset_48h-seed0-2")
    assert (run / "DONE").is_file()
    assert (run / ".hydra" / "config.yaml").is_file()
    assert "160 patients" in (run / "train.log").read_text()
    assert "Traceback" not in done.stderr
    assert not (run / ".lock").exists()


def test_a_prediction_never_goes_into_its_run(run_command: Run, finished_run: Path, workbooks: Path):
    done = run_command(
        "predict.py", f"run_dir={finished_run}", f"data.root={workbooks}", f"output_dir={finished_run}/predictions"
    )
    assert done.returncode == 2
    assert "only read" in done.stderr
    assert not (finished_run / "predictions").exists()


def test_an_option_may_come_after_settings(run_command: Run, tmp_path: Path):
    (tmp_path / "settings" / "callbacks").mkdir(parents=True)
    (tmp_path / "settings" / "callbacks" / "mine.yaml").write_text("timer:\n  _target_: lightning.Timer\n")
    done = run_command("train.py", "seed=7", "-cd", "settings", "callbacks=mine", "--cfg", "job", "evaluation=off")
    assert done.returncode == 0, done.stderr
    assert "seed: 7\n" in done.stdout
    assert "callbacks:\n  timer:\n    _target_: lightning.Timer\n" in done.stdout
