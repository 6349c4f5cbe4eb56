"""Shell completion: what Tab offers in bash, asked as bash asks it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import ROOT

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def offered(line: str) -> set[str]:
    """Return what train.py offers after so much of a command line."""
    asked = f"python train.py {line}"
    environment = {**os.environ, "COMP_LINE": asked, "COMP_POINT": str(len(asked))}
    done = subprocess.run(
        [sys.executable, "train.py", "-sc", "query=bash"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("exp", {"experiment="}),
        ("where=", {"where=local", "where=gpus", "where=slurm", "where=ray"}),
        ("debug=", {"debug=fast", "debug=overfit", "debug=profile"}),
        ("model=mlp trainer.max", {"trainer.max_epochs="}),
        ("-m experiment=sweep_paper model.k", {"model.kernel_size="}),
    ],
)
def test_groups_choices_and_keys_are_offered(line: str, some: set[str]):
    assert some <= offered(line)


def test_a_key_of_another_model_is_not_offered():
    assert offered("model=mlp model.num_h") == set()


def test_bash_itself_completes_after_one_line_of_setup():
    script = """
        eval "$(python train.py -sc install=bash)"
        complete -p python
        COMP_LINE="python train.py split=" COMP_POINT=22 COMP_WORDS=(python train.py split=) COMP_CWORD=2
        hydra_bash_completion
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *replies = done.stdout.split("\n")
    assert "-F hydra_bash_completion python" in first
    assert {"split=paper", "split=stratified", "split=kfold"} <= set(replies)
