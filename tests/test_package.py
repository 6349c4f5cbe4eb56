"""The installed package: its files, its command and its public names."""

import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small import FAST, ROOT

import hemexp

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_hemexp(tmp_path: Path) -> Run:
    """Run ``python -m hemexp`` in an empty folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hemexp", *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_hemexp_alone_lists_the_commands(arguments: list[str], run_hemexp: Run):
    done = run_hemexp(*arguments)
    assert done.returncode == 0, done.stderr
    for command in ("train", "prepare", "predict", "update", "report", "audit"):
        assert f"\n  hemexp {command} " in done.stdout
        assert (ROOT / f"{command}.py").is_file()


def test_hemexp_version_is_the_package_version(run_hemexp: Run):
    assert run_hemexp("--version").stdout == f"hemexp {hemexp.__version__}\n"


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("trian", "did you mean hemexp train?"),
        ("report.py", "did you mean hemexp report?"),
        ("eval", "did you mean hemexp predict?"),
        ("nonsense", "the commands are train, prepare, predict, update, report, audit"),
    ],
)
def test_an_unknown_command_exits_with_2_and_advice(word: str, advice: str, run_hemexp: Run):
    done = run_hemexp(word)
    assert done.returncode == 2
    assert done.stderr == f"error: {word}: is not a command of hemexp; {advice}\n"


def test_hemexp_train_checks_the_configuration(run_hemexp: Run, tmp_path: Path):
    done = run_hemexp("train", "model.kernel_size=4")
    assert done.returncode == 2
    assert "model.kernel_size=4" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("hemexp pre", "train prepare predict update report audit"),
        ("hemexp train split=", "split=center split=kfold split=paper split=stratified split=temporal"),
    ],
)
def test_shell_completion_offers_commands_and_choices(line: str, offers: str, run_hemexp: Run):
    assert run_hemexp("-sc", "query=bash", COMP_LINE=line).stdout == f"{offers}\n"


def test_import_hemexp_imports_no_large_library():
    large = {"torch", "lightning", "pandas", "numpy", "hydra", "omegaconf", "sklearn", "matplotlib"}
    code = "import sys, hemexp\ndir(hemexp)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "hemexp" in done.stdout.split()
    assert large.isdisjoint(done.stdout.split())


@pytest.mark.slow
def test_predict_and_the_processes_that_fit_estimators_start_without_lightning():
    code = "import sys, hemexp.commands.predict, hemexp.training.estimators; print('lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_public_name_can_be_imported():
    assert set(hemexp.__all__) <= set(dir(hemexp))
    assert all(getattr(hemexp, name).__name__ == name for name in hemexp.__all__)
    assert not hasattr(hemexp, "nonsense")


def test_every_changelog_version_has_a_heading():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {hemexp.__version__} " in changelog
    assert f"\nversion: {hemexp.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_configuration_and_nothing_else(wheel: Path):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path for folder in ("hemexp", "hydra_plugins") for path in (ROOT / folder).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"}
    expected |= {f"hemexp/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert held == expected
    assert {"hemexp/py.typed", "hemexp/conf/train.yaml", "hydra_plugins/hemexp_launcher.py"} <= held
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"hemexp": "hemexp.__main__:main"}


@pytest.mark.slow
def test_the_installed_commands_run_from_an_empty_folder(installed: Path, tmp_path: Path):
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "COMP_LINE"}}

    def run(program: str, *arguments: str) -> str:
        command = [str(installed / program), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    imported = run("python", "-c", "import hemexp, sys; print(hemexp.__file__, *sys.path, sep='\\n')").splitlines()
    assert Path(imported[0]).is_relative_to(installed.parent)
    assert str(ROOT) not in imported
    run("hemexp", "prepare", "data=synthetic", "output_dir=demo")
    run("hemexp", "train", "data.root=demo/workbooks", *FAST)
    (finished,) = (tmp_path / "outputs" / "runs").iterdir()
    assert (finished / "DONE").is_file()
    run("hemexp", "predict", f"run_dir={finished}", "data.root=demo/workbooks", "output_dir=predicted")
    assert (tmp_path / "predicted" / "predictions.csv").is_file()
    run("python", "-m", "hemexp", "report", f"run_dir={finished}")
    assert (finished / "report.html").is_file()
    run("hemexp", "train", "-m", "model=mlp,cnn", "seed=0,1", *FAST, "hydra.sweep.dir=sweep")
    assert len(list(tmp_path.glob("sweep/*/DONE"))) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"demo", "outputs", "predicted", "sweep"}
