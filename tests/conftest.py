import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from small import ROOT, STANDARD

os.environ.setdefault("OMP_NUM_THREADS", "1")  # test processes with several threads each slow each other down

from hemexp.cohort.synthetic import write_workbooks
from hemexp.config import SyntheticDataConfig, TrainConfig
from hemexp.config.compose import load_config


@pytest.fixture(scope="session")
def real_cohort() -> Path:
    folder = os.environ.get("HEMEXP_COHORT")
    if not folder:
        pytest.skip("HEMEXP_COHORT is not set to the folder of the real cohort")
    return Path(folder)


@pytest.fixture(scope="session")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic cohort as four workbooks; tests only read it."""
    root = tmp_path_factory.mktemp("workbooks")
    write_workbooks(SyntheticDataConfig("synthetic", num_patients=40, num_unlabelled=5, prevalence=0.3), root)
    return root


@pytest.fixture(scope="session")
def finished_run(workbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on `workbooks`, cross-validated once; tests only read it."""
    from hemexp.commands.train import train

    directory = tmp_path_factory.mktemp("run") / "a"
    train(
        load_config(TrainConfig, [f"data.root={workbooks}", "trainer.progress_bar=false", *STANDARD]),
        directory,
    )
    return directory


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no pictures in a run: they take longer than a small training, and the test does not use them."""
    for name in ("run_figures", "evaluation_figures"):
        monkeypatch.setattr(f"hemexp.commands.train.{name}", lambda *_: {})


@pytest.fixture
def run_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one of the commands as a user would, in an empty folder."""

    def run(script: str, *arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / script), *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)

    return run


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of these sources."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (path,) = folder.glob("hemexp-*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and sees this one's packages, but not the sources; return its programs."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    programs = place / "bin"
    command = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (packages,) = place.glob("lib/python3*/site-packages")
    (packages / "first.pth").write_text(sysconfig.get_path("purelib"))
    return programs
