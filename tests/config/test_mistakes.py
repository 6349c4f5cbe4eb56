"""Mistakes of typing: each is answered in one line with the key, the rule and what to do, and exit code 2."""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from hemexp import cli
from hemexp.config import MODELS

FILES = {
    "nets": "class MyNet:\n    def __init__(self, num_features, width=4):\n        pass\n",
    "folder/nets": "",
    "plain": "x = 1\n",
    "plug": "import hemexp\n@hemexp.register_network('plugged')\ndef plugged(num_features):\n    return None\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The current folder of a user, with some modules; what they register is forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    before, path, modules = set(MODELS), list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(MODELS) - before:
        del MODELS[name]
    for name in {"nets", "plain", "plug", "folder", "folder.nets"} - modules:
        sys.modules.pop(name, None)


def answer(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mark: str = " ") -> str:
    """Return the one line that a command writes when it refuses these arguments."""
    name, *arguments = line.split(mark)
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.command(name)
    written = capsys.readouterr()
    assert (end.value.code, written.out) == (2, "")
    assert written.err.count("\n") == 1, written.err
    assert "Hydra" not in written.err
    assert "Could not" not in written.err
    return written.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train callbacks=MyClass", "callbacks.NAME._target_=MODULE.CLASS"),
        ("train callbacks=lightning.Timer", "engine=lightning callbacks.timer._target_=lightning.Timer"),
        ("train callbacks=[lightning.Timer]", "engine=lightning callbacks.timer._target_=lightning.Timer"),
        ("train callbacks=[{_target_:lightning.Timer}]", "an entry with a name"),
        ("train callbacks=null", "did you mean callbacks=none?"),
        ("train loss=nets.focal", "engine=lightning loss=custom loss.target=nets.focal"),
        ("train optimizer=torch.optim.RAdam", "engine=lightning optimizer=custom optimizer.target=torch.optim.RAdam"),
        ("train optimizer=RAdam", "optimizer.target=torch.optim.RAdam"),
        ("train optimizer=radam", "engine=lightning optimizer=custom optimizer.target=torch.optim.RAdam"),
        ("train scheduler=one_cycle", "scheduler=custom scheduler.target=torch.optim.lr_scheduler.OneCycleLR"),
        ("train model=tabt", "did you mean model=tabm?; a model of your own module: plugins=[my_module] model=tabt"),
        ("train optimizer=torch.optim.Adam", "did you mean optimizer=adam?"),
        ("train optimizer=Adam", "did you mean optimizer=adam?"),
        ("train optimizer=[adam,sgd]", "for a sweep: -m optimizer=adam,sgd"),
        ("train scheduler=nets.Warm", "engine=lightning scheduler=custom scheduler.target=nets.Warm"),
        ("train model=nets.MyNet", "model=custom model.target=nets.MyNet"),
        ("train +model=nets.MyNet", "model=custom model.target=nets.MyNet"),
        ("train -m model=cnn,nets.MyNet", "job 1 (model=nets.MyNet): model=nets.MyNet: there is no such choice"),
        ("train model=nets.py", "model.target=nets.CLASS"),
        ("train model=", "the choices are attention, brain"),
        ("train features=age", "features=columns 'features.columns=[age]'"),
        ("train features=[age,gcs]", "features=columns 'features.columns=[age,gcs]'"),
        ("train logger=WandbLogger", "did you mean logger=wandb?"),
        ("train logger=[csv,foo]", "logger=foo: there is no such choice; the choices are csv"),
        ("train label=death", "label=column label.column=death"),
        ("train data=a/b.csv", "data.root=a/b.csv"),
        ("train experiment=x.yaml", "--config-dir=FOLDER experiment=x"),
        ("train evaluation=false", "did you mean evaluation=off?"),
        ("train plugins=plug model=plugd", "did you mean model=plugged?"),
        ("train plugins=[plug] model=other", "plugins=[plug] registered plugged; the choices"),
        ("train plugins=plain model=other", 'plugins=[plain] registered no model: decorate one with @hemexp.register_'),
        ("audit optimizer=nets.Opt", "optimizer=custom optimizer.target=nets.Opt"),
        ("prepare data=workbok", "did you mean data=workbook?"),
    ],
)  # fmt: skip
def test_a_choice_that_does_not_exist_gets_the_form_that_works(
    line: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert words in answer(line, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train model=custom model.target=nets.MyNet model.hidden=8", "give model.args.hidden=8"),
        ("train model=custom model.target=nets.MyNet model.net.hidden=8", "model.args.NAME=VALUE"),
        ("train model=custom model.target=nets.MyNet +model.hidden=8", "give model.args.hidden=8"),
        ("train engine=lightning optimizer=custom optimizer.target=torch.optim.SGD optimizer.momentum=0.9",
         "give optimizer.args.momentum=0.9"),
        ("train engine=lightning scheduler=custom scheduler.gamma=0.9", "give scheduler.args.gamma=0.9"),
        ("train engine=lightning loss=custom loss.gamma=2", "give loss.args.gamma=2"),
        ("train model=logistic model.zzz=3", "known here: model.name, model.C, model.l1_ratio"),
        ("train -m model=logistic,ridge2 model.zzz=3", "known here: model.name, model.C, model.l1_ratio"),
        ("train where=slurm where.zzz=3", "where.partition"),
        ("train trainer={max_epoch:5}", "did you mean trainer.max_epochs?"),
        ("predict run-dir=x", "did you mean run_dir?"),
    ],
)  # fmt: skip
def test_an_unknown_key_gets_the_keys_of_the_choice_in_use(
    line: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert words in answer(line, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train plugins=nets.py", "give plugins=[nets]"),
        ("train plugins=./nets", "give plugins=[nets]"),
        ("train plugins=[folder/nets.py]", "give plugins=[folder.nets]"),
        ("train plugins=elsewhere/nets.py", "start the command in the folder of the file"),
        ("train plugins=net", "there is no module net; did you mean nets?"),
        ("train plugins=[nets", "must be a list of modules"),
        ("train model=custom model.target=nets", "such as nets.NAME"),
        ("train model=custom model.target=nets.py", "such as nets.NAME"),
        ("train model=custom model.target=nets:MyNet", "such as nets.MyNet"),
        ("train metrics=f2", '@hemexp.register_metric("f2")'),
        ("train -m seed=1,2 search.score=f2", "metrics=[MODULE.NAME]"),
    ],
)
def test_a_module_of_the_user_is_named_as_python_names_it(
    line: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert words in answer(line, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train|optimizer.lr=fast", "optimizer.lr=fast: must be a number, above 0"),
        ("train|optimizer.lr=[0.1]", "must be a number, above 0"),
        ("train|optimizer.lr=0,01", "give optimizer.lr=0.01"),
        ("train|optimizer.lr=10^-3", "write it as in 0.01 or 1e-3, without a unit"),
        ("train|label.absolute_ml=6mL", "without a unit"),
        ("train|seed=1e3", "give seed=1000"),
        ("train|seed=null", "must be an integer, 0 to 4294967295"),
        ("train|seed=ü", "must be an integer"),
        ("train|seed==3", "give seed=3"),
        ("train|seed = 3", "give seed=3"),
        ("train|seed=3,", "give seed=3"),
        ("train|seed:3", "did you mean seed=3?"),
        ("train|+seed=3", "leave out the sign +"),
        ("train|trainer.patience=none", "at least 1 epochs, or null"),
        ("train|model.kernel_size=3,5", "-m model.kernel_size=3,5"),
        ("train|model.channels=8,16", "give 'model.channels=[8,16]'"),
        ("train|model.channels=[8,16", "a bracket is not closed; it must be a list"),
        ("train|model.channels=(8,16)", "must be a list, such as model.channels=[16,32]"),
        ("train|tags=first", "must be a list, such as tags=[a,b]"),
        ("train|metrics=[a", "a bracket is not closed"),
        ("train|logger=csv,mlflow", "give 'logger=[csv,mlflow]'"),
        ("train|trainer.progress_bar=ja", "must be true or false"),
        ("train|trainer.lightning=3", "give trainer.lightning.NAME=VALUE"),
        ("train|größe=3", "größe: there is no such key"),
        ("train|\u2013model=sacnn", "give model=sacnn"),
        ("train|-model=sacnn", "give model=sacnn"),
        ("train|-v", "is not an option"),
        ("train|model|sacnn", "did you mean model=sacnn?"),
        ("train|model|=|sacnn", "did you mean model=sacnn?"),
        ("train|model=|sacnn", "did you mean model=sacnn?"),
        ("train|model|=sacnn", "did you mean model=sacnn?"),
        ("train|data.root=${HOME}", "in single quotation marks the shell does not replace"),
        ("train|~model", "model is not set: give model=VALUE"),
        ("train|~model.kernel_size", "a key cannot be deleted"),
        ("train|model@foo=sacnn", "did you mean model?"),
        ("report|report=true", "set key by key, as report.NAME=VALUE"),
        ("report|report.patients=x", "must be true or false"),
        ("audit|only=[a", "a bracket is not closed"),
    ],
)
def test_a_value_that_cannot_be_read_gets_the_rule_of_its_key(
    line: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert words in answer(line, capsys, monkeypatch, "|")


def test_the_version_is_that_of_hemexp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--version"])
    with pytest.raises(SystemExit) as end:
        cli.command("train")
    assert (end.value.code, capsys.readouterr().out) == (0, f"hemexp {cli.__version__}\n")
