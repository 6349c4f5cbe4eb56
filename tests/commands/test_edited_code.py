"""Edited code of the user: noticed by a rerun, a resumed run, a sweep and predict.py."""

import json
import sys
from pathlib import Path

import pytest
import torch
from small import FAST

from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import MODELS, PredictConfig, TrainConfig, config_hash, list_code
from hemexp.config.code import check_code, read_code
from hemexp.config.compose import load_config
from hemexp.errors import Interrupted, UserError
from hemexp.files.result import RunResult
from hemexp.files.run_directory import RunDirectory
from hemexp.models.predictor import load_predictor, read_checkpoint, save_predictor
from hemexp.sweep.directory import create_run_dir, reconcile
from hemexp.sweep.plan.job import SweepJob
from hemexp.training import progress

pytestmark = pytest.mark.usefixtures("undrawn")

NETS = """
from torch import nn
from . import layers

class Net(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.linear = nn.Linear(num_features, 2)

    def forward(self, x):
        return self.linear(layers.activate(x))
"""
LAYERS = """
def activate(x):
    return x.relu()
"""
PARTS = """
import hemexp
from lightning.pytorch import Callback
from sklearn.linear_model import LogisticRegression
from torch import optim
from torch.nn.functional import cross_entropy

class Ridge(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X)

@hemexp.register_estimator("edited_ridge")
def ridge(num_features):
    return Ridge(C=0.1)

@hemexp.register_metric("edited_mean")
def mean(labels, probabilities):
    return probabilities.mean()

def share(labels, probabilities):
    return labels.mean()

def loss(logits, labels):
    return cross_entropy(logits, labels)

class Listener(Callback):
    pass

class Slow(optim.SGD):
    pass
"""
NETWORK = ["model=custom", "model.target=edited_net.Net"]  # which the package imports from another of its files
MODULES = ("edited_net", "edited_net.nets", "edited_net.layers", "edited_parts", "other_parts")


def forget() -> None:
    """Forget the user's modules, as a new process does."""
    for name in MODULES:
        sys.modules.pop(name, None)
    MODELS.pop("edited_ridge", None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The user's folder, with a package and a module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two edits within a second would have one time
    path = list(sys.path)
    (tmp_path / "edited_net").mkdir()
    (tmp_path / "edited_net" / "__init__.py").write_text("from edited_net.nets import Net\n")
    (tmp_path / "edited_net" / "nets.py").write_text(NETS)
    (tmp_path / "edited_net" / "layers.py").write_text(LAYERS)
    (tmp_path / "edited_parts.py").write_text(PARTS)
    forget()
    yield tmp_path
    forget()
    sys.path[:] = path


def edit(path: Path, old: str = "", new: str = "# a comment\n") -> None:
    """Edit a file; the next command is another process."""
    text = path.read_text()
    path.write_text(text.replace(old, new) if old else text + new)
    forget()


def fit(folder: Path, *overrides: str) -> RunResult:
    forget()
    return train(load_config(TrainConfig, [*FAST, *overrides]), folder / "run")


def hash_of(*overrides: str) -> str:
    return config_hash(load_config(TrainConfig, list(overrides)))


def test_a_module_named_like_one_of_python_counts_if_it_is_the_user_s(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "sched.py").write_text("VALUE = 1\n")
    assert read_code(["sched.scheduler"]) == {}
    monkeypatch.delitem(sys.modules, "sched", raising=False)
    monkeypatch.syspath_prepend(folder)
    assert set(read_code(["sched.VALUE"])) == {"sched"}
    monkeypatch.delitem(sys.modules, "sched", raising=False)


def test_predict_notices_code_that_differs_only_far_from_the_mean(folder: Path):
    edit(folder / "edited_net" / "layers.py", "x.relu()", "(x.clamp(-2, 2) * 3)")
    fit(folder, *NETWORK)
    edit(folder / "edited_net" / "layers.py", "-2, 2", "-5, 5")
    with pytest.raises(UserError, match="gives other risks than at the training"):
        load_predictor(RunDirectory(folder / "run").best)


def test_a_finished_run_is_not_done_for_edited_code_and_the_message_names_the_file(folder: Path):
    result = fit(folder, *NETWORK)
    assert set(result.code) == {"edited_net", "edited_net.nets", "edited_net.layers"}
    assert fit(folder, *NETWORK).config_hash == result.config_hash
    edit(folder / "edited_net" / "layers.py")
    message = r"output_dir=.*run: edited_net/layers.py was edited after this run began; .* or undo the edit"
    with pytest.raises(UserError, match=message):
        fit(folder, *NETWORK)
    with pytest.raises(UserError, match=r"trainer.max_epochs=3 there, 4 here; edited_net/layers.py was edited"):
        fit(folder, *NETWORK, "trainer.max_epochs=4")
    edit(folder / "edited_net" / "layers.py", "# a comment\n", "")
    assert fit(folder, *NETWORK).config_hash == result.config_hash


def test_an_unfinished_run_is_not_resumed_with_edited_code(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(progress.InterruptHandler, "install", lambda self: setattr(self.flag, "value", True))
        with pytest.raises(Interrupted):
            fit(folder, *NETWORK)
    assert RunDirectory(folder / "run").result().status == "interrupted"
    edit(folder / "edited_net" / "nets.py")
    with pytest.raises(UserError, match=r"edited_net/nets.py was edited after this run began"):
        fit(folder, *NETWORK)


def test_a_sweep_runs_its_jobs_again_for_edited_code_and_finds_them_after_the_edit_is_undone(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    sweep = folder / "sweep"

    def start() -> list[SweepJob]:
        cfg = load_config(TrainConfig, [*FAST, *NETWORK])
        jobs = [SweepJob(0, sweep / "0", (), cfg, {}, code=list_code(cfg))]
        waiting = reconcile(sweep, jobs)
        for job in waiting:
            create_run_dir(job)
            train(job.cfg, job.directory)
        return waiting

    sweep.mkdir()
    assert len(start()) == 1
    forget()
    assert start() == []
    edit(folder / "edited_net" / "layers.py")
    assert len(start()) == 1
    line = capsys.readouterr().err
    assert "edited_net/layers.py was edited after this sweep began: what 1 of its jobs have computed is of" in line
    edit(folder / "edited_net" / "layers.py", "# a comment\n", "")
    assert start() == []


def test_a_process_with_other_code_than_its_command_is_refused(folder: Path):
    code = list_code(load_config(TrainConfig, NETWORK))
    check_code(code)
    edit(folder / "edited_net" / "layers.py")
    with pytest.raises(UserError, match=r"edited_net/layers.py was edited while the command was running; rule: .* one"):
        check_code(code)


@pytest.mark.parametrize(
    "overrides",
    [
        ["engine=lightning", "loss=custom", "loss.target=edited_parts.loss"],
        ["engine=lightning", "optimizer=custom", "optimizer.target=edited_parts.Slow"],
        ["engine=lightning", "callbacks.a._target_=edited_parts.Listener"],
        ["metrics=[edited_parts.share]"],
        ["plugins=[edited_parts]", "metrics=[edited_mean]"],
        ["plugins=[edited_parts]", "model=edited_ridge"],
    ],
    ids=["loss", "optimizer", "callback", "metric", "registered metric", "registered estimator"],
)
def test_an_edit_changes_the_hash_and_another_place_does_not(overrides: list[str], folder: Path):
    before = hash_of(*overrides)
    (folder / "elsewhere").mkdir()
    (folder / "edited_parts.py").rename(folder / "elsewhere" / "edited_parts.py")
    forget()
    sys.path.append(str(folder / "elsewhere"))
    assert hash_of(*overrides) == before
    edit(folder / "elsewhere" / "edited_parts.py")
    assert hash_of(*overrides) != before


def test_libraries_and_configurations_without_code_of_the_user_have_no_digests(folder: Path):
    parts = ["engine=lightning", "optimizer=custom", "optimizer.target=torch.optim.RMSprop"]
    parts += ["callbacks.a._target_=lightning.pytorch.callbacks.Timer"]
    assert list_code(load_config(TrainConfig, parts)) == {}
    assert hash_of("plugins=[edited_parts]") == hash_of()


def test_imports_are_followed_without_importing_and_end_at_installed_packages(folder: Path):
    sys.path.append(str(folder))
    (folder / "other_parts.py").write_text("def late():\n    import edited_net.layers, pytest, torch, not_there\n")
    assert set(read_code(["other_parts.late"])) == {"other_parts", "edited_net", *MODULES[1:3]}
    assert "edited_net" not in sys.modules
    assert "pluggy" in read_code(["pluggy.PluginManager"])  # installed, but named by the user
    (folder / "edited_net" / "layers.py").unlink()
    (folder / "edited_net" / "layers.cpython-311-x86_64-linux-gnu.so").write_bytes(b"compiled")
    compiled = read_code(["edited_net.nets.Net"])
    assert len(compiled) in {2, 3}  # on another system this name is not a module


def changed_risks(folder: Path, file: Path, old: str, new: str, plugin: str) -> None:
    """Edit code, and check that the checkpoint of the run is refused."""
    cfg = load_config(PredictConfig, [f"run_dir={folder / 'run'}", f"plugins={plugin}", "data=synthetic"])
    predict(cfg, folder / "same")
    edit(file, old, new)
    cfg = load_config(PredictConfig, [f"run_dir={folder / 'run'}", f"plugins={plugin}", "data=synthetic"])
    with pytest.raises(
        UserError, match=rf"the code of {plugin}\S* gives other risks than at the training: 0\.\d+ then"
    ):
        predict(cfg, folder / "other")
    assert not (folder / "other" / "predictions.csv").exists()


@pytest.mark.parametrize("more", [[], ["ensemble=2"]], ids=["network", "ensemble"])
def test_a_network_whose_code_gives_other_risks_does_not_predict(more: list[str], folder: Path):
    fit(folder, *NETWORK, *more)
    edit(folder / "edited_net" / "layers.py")  # a comment does not change the risks
    changed_risks(folder, folder / "edited_net" / "layers.py", "relu", "sigmoid", "edited_net")


def test_an_estimator_whose_code_gives_other_risks_does_not_predict(folder: Path):
    fit(folder, "plugins=[edited_parts]", "model=edited_ridge")
    changed_risks(
        folder, folder / "edited_parts.py", "predict_proba(X)\n", "predict_proba(X)[:, ::-1]\n", "edited_parts"
    )


def test_a_checkpoint_of_an_earlier_version_has_no_probe_and_loads(folder: Path):
    fit(folder, *NETWORK)
    path = folder / "run" / "checkpoints" / "best.ckpt"
    state = read_checkpoint(path)
    assert all(0 < risk < 1 for risk in state["probe"])
    assert len(set(state["probe"])) == len(state["probe"])
    for changed, message in (([0.5], "probe: is damaged"), ([*state["probe"][:-1], 0.5], "gives other risks")):
        torch.save({**state, "probe": changed}, path)
        with pytest.raises(UserError, match=message):
            load_predictor(path)
    del state["probe"]
    torch.save(state, path)
    edit(folder / "edited_net" / "layers.py", "relu", "sigmoid")
    load_predictor(path)


def test_other_layers_than_in_the_checkpoint_are_a_fault_of_the_code(folder: Path):
    fit(folder, *NETWORK)
    edit(folder / "edited_net" / "nets.py", "self.linear", "self.other")
    with pytest.raises(UserError, match=r"the code of edited_net.Net and its weights do not fit together"):
        load_predictor(folder / "run" / "checkpoints" / "best.ckpt")


def test_the_first_weights_of_a_run_may_be_of_a_network_that_was_edited(folder: Path):
    fit(folder, *NETWORK)
    (folder / "run").rename(folder / "first")
    edit(folder / "edited_net" / "layers.py", "relu", "sigmoid")
    assert "began_from_weights" in fit(folder, *NETWORK, f"model.init_from={folder / 'first'}").caveats


def test_a_network_or_a_classifier_that_draws_random_numbers_to_predict_is_refused(folder: Path):
    edit(folder / "edited_net" / "layers.py", "x.relu()", "x * (__import__('torch').rand(1) + 1)")
    with pytest.raises(UserError, match=r"other results for the same patients in a second call; rule: in eval\(\)"):
        fit(folder, *NETWORK)
    edit(
        folder / "edited_parts.py",
        "return super().predict_proba(X)",
        "return __import__('numpy').random.dirichlet([1, 1], len(X))",
    )
    with pytest.raises(UserError, match=r"model=edited_ridge: gives a patient the risk .* in a second call"):
        train(load_config(TrainConfig, [*FAST, "plugins=[edited_parts]", "model=edited_ridge"]), folder / "random")


def test_models_of_this_package_have_no_probe(folder: Path):
    train(load_config(TrainConfig, [*FAST, "model=ridge2"]), folder / "own")
    predictor = load_predictor(folder / "own" / "checkpoints" / "best.ckpt")
    save_predictor(predictor, folder / "again.ckpt")
    assert set(read_checkpoint(folder / "again.ckpt")) == {"format", "networks", "digest"}
    assert json.loads((folder / "own" / "result.json").read_text())["code"] == {}
