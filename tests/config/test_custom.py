"""Models, callbacks and Trainer arguments from outside: what is accepted, and what is refused."""

import pickle
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest
import torch
from torch import nn

from hemexp.config import MODELS, TrainConfig, config_hash, register_estimator, register_network
from hemexp.config.compose import load_config
from hemexp.config.plugins import import_installed_plugins
from hemexp.errors import UserError

PLUGIN = '''
from dataclasses import dataclass
import hemexp

@hemexp.register_network("from_file")
@dataclass
class FromFile:
    """A network of a file."""

    width: int = 4

    def build(self, num_features):
        raise NotImplementedError

class Net:
    def __init__(self, num_features, width=4):
        pass

class Forest:
    def __init__(self, trees=3):
        pass

    def fit(self, X, y):
        return self

def scored(logits, labels):
    raise KeyError("age")

def leaves(logits, labels):
    raise SystemExit

def short(logits, labels):
    return logits[:3, 0]

def number(logits, labels):
    return float(logits.detach().mean())

def cut(logits, labels):
    return logits.detach().mean()

def endless(logits, labels):
    return logits.mean() / 0

def names(parameters, lr):
    return "adam"
'''
LOSS = ["engine=lightning", "loss=custom"]
ADAMW = ["engine=lightning", "optimizer=custom", "optimizer.target=torch.optim.AdamW"]
OPTIMIZER = ["engine=lightning", "optimizer=custom"]
SCHEDULER = ["engine=lightning", "scheduler=custom", "trainer.max_epochs=10"]
CYCLE = ["scheduler.target=torch.optim.lr_scheduler.OneCycleLR", "scheduler.args.max_lr=0.1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder with a module, as the current folder of a user; the models of the module are forgotten afterwards."""
    (tmp_path / "my_code.py").write_text(PLUGIN)
    (tmp_path / "broken_code.py").write_text("import no_such_package\n")
    (tmp_path / "failing_code.py").write_text("1 / 0\n")
    (tmp_path / "leaving_code.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    before, path = set(MODELS), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(MODELS) - before:
        del MODELS[name]
    for name in ("my_code", "broken_code", "failing_code", "leaving_code"):
        sys.modules.pop(name, None)


def test_a_plugin_registers_a_model_with_its_settings(folder: Path):
    cfg = load_config(TrainConfig, ["plugins=my_code", "model=from_file", "model.width=8"])
    assert (cfg.model.name, cfg.model.width, cfg.plugins) == ("from_file", 8, ["my_code"])
    assert (cfg.model.is_network, cfg.model.has_batched_form, cfg.is_batched) == (True, False, False)
    assert pickle.loads(pickle.dumps(cfg)) == cfg
    assert MODELS["from_file"].help == "A network of a file."


def test_the_hash_depends_on_the_model_and_not_on_the_plugin_that_has_it(folder: Path):
    first = config_hash(load_config(TrainConfig, ["plugins=[my_code]", "model=from_file"]))
    assert config_hash(load_config(TrainConfig, ["plugins=[my_code]", "model=from_file", "model.width=8"])) != first
    plain = config_hash(load_config(TrainConfig))
    assert config_hash(load_config(TrainConfig, ["plugins=[my_code]"])) == plain
    assert config_hash(load_config(TrainConfig, ["engine=lightning"])) != plain


def test_a_setting_of_a_plugin_is_checked_like_any_other(folder: Path):
    for wrong in ("model.width=wide", "model.depth=3"):
        with pytest.raises(Exception, match=r"width|depth"):
            load_config(TrainConfig, ["plugins=my_code", "model=from_file", wrong])


def test_a_target_is_a_network_or_a_classifier_by_its_method_fit(folder: Path):
    net = load_config(TrainConfig, ["model=custom", "model.target=my_code.Net", "model.args={width: 8}"]).model
    forest = load_config(TrainConfig, ["model=custom", "model.target=my_code.Forest", "model.args.trees=5"]).model
    assert (net.is_network, net.args) == (True, {"width": 8})
    assert (forest.is_network, forest.args) == (False, {"trees": 5})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["plugins=no_such_code"], "plugins=no_such_code: cannot be imported: there is no module no_such_code"),
        (["plugins=broken_code"], "plugins=broken_code: .* ModuleNotFoundError: No module named 'no_such_package'"),
        (["plugins=leaving_code"], "plugins=leaving_code: cannot be imported: SystemExit: 0"),
        (["engine=lightning", "trainer.lightning.precision=bf16-true"], "weights need 32 or 64 bits"),
        (
            ["engine=lightning", "callbacks.a._target_=lightning.pytorch.callbacks.EMAWeightAveraging"],
            "averages weights",
        ),
        (["plugins=failing_code"], "plugins=failing_code: cannot be imported: ZeroDivisionError"),
        (["plugins=[[my_code]]"], "must be a list of modules"),
        (["model=custom"], "model.target is not set: give model.target=my_package.NAME"),
        (["model=custom", "model.target=Net"], "model.target=Net: must be a dotted name"),
        (["model=custom", "model.target=no_code.Net"], "model.target=no_code.Net: .* there is no module no_code"),
        (["model=custom", "model.target=my_code.Nett"], "no class or function Nett; did you mean my_code.Net?"),
        (["model=custom", "model.target=my_code.Net", "model.args={depth: 3}"], "unexpected keyword argument 'depth'"),
        (["model=custom", "model.target=my_code.Forest", "model.args={depth: 3}"], "it gets model.args"),
        (["model=custom", "model.target=my_code.Net", "engine=batched"], "model=custom has no batched form"),
        (["optimizer=custom"], "optimizer.target is not set"),
        (["optimizer=custom", "optimizer.target=torch.optim.RMSprop"], "optimizer=custom: needs an ordinary Trainer"),
        ([*LOSS, "loss.target=my_code.FromFile", "loss.args={a: 1}"], "cannot be called .* it gets loss.args"),
        ([*LOSS, "loss.target=my_code.scored", "loss.args={a: 1}"], "it gets logits and labels and loss.args"),
        (
            [*LOSS, "loss.target=my_code.scored"],
            r"loss.target=my_code.scored: failed .*\(KeyError: 'age'\); it gets log",
        ),
        ([*LOSS, "loss.target=my_code.leaves"], r"loss.target=my_code.leaves: failed when it was tried \(SystemExit"),
        ([*LOSS, "loss.target=my_code.short"], r"returned the shape \(3,\); rule: a tensor with a loss for each pat"),
        ([*LOSS, "loss.target=my_code.number"], r"loss.target=my_code.number: returned float; rule: a tensor"),
        ([*LOSS, "loss.target=my_code.cut"], "loss.target=my_code.cut: has no gradient; rule: compute it from the log"),
        ([*LOSS, "loss.target=my_code.endless"], "the loss or its gradient is NaN or infinite"),
        (
            [*LOSS, "loss.target=torch.nn.CrossEntropyLoss", "loss.args.reduction=sum"],
            "returns a sum over the patients",
        ),
        (
            [*LOSS, "loss.target=torch.nn.CrossEntropyLoss", "loss.args.weight=[1.0,3.0]"],
            "loss=weighted takes the class weights",
        ),
        (
            [*ADAMW, "optimizer.weight_decay=0.3", "optimizer.args.weight_decay=0.0"],
            r"optimizer\.args\.weight_decay=0.0: is a key of its own; give optimizer\.weight_decay",
        ),
        ([*ADAMW, "optimizer.args.lr=0.1"], r"optimizer\.args\.lr=0.1: is a key of its own; give optimizer\.lr"),
        ([*LOSS, "loss.target=torch.nn.BCEWithLogitsLoss"], r"ValueError: Target size .* it gets logits \(4, 2\) and"),
        (
            [*OPTIMIZER, "optimizer.target=my_code.Net"],
            "optimizer.args={}: my_code.Net cannot be called .*it gets parameters and lr",
        ),
        ([*OPTIMIZER, "optimizer.target=my_code.names"], "returned str; rule: a torch.optim.Optimizer"),
        ([*OPTIMIZER, "optimizer.target=torch.optim.SparseAdam"], "RuntimeError: SparseAdam does not support dense"),
        ([*OPTIMIZER, "optimizer.target=torch.optim.LBFGS", "optimizer.weight_decay=1"], "optimizer.target=.*weight_d"),
        (
            [*SCHEDULER, "scheduler.target=my_code.Forest"],
            "scheduler.target=my_code.Forest: returned Forest; rule: a sch",
        ),
        ([*SCHEDULER, *CYCLE, "scheduler.args.total_steps=9"], "OneCycleLR: failed .*Tried to step 1. times"),
        (["callbacks.stop.patience=3"], "callbacks.stop=.*: has no _target_"),
        (["engine=lightning", "callbacks.a._target_=my_code.Net", "callbacks.a.width=2"], "cannot be built"),
        (["engine=lightning", "callbacks.a._target_=my_code.Forest"], "is not a lightning.pytorch.Callback"),
        (["callbacks.a._target_=lightning.pytorch.callbacks.Timer"], "needs an ordinary Trainer; add engine=lightning"),
        (["trainer.lightning.max_steps=3"], "needs an ordinary Trainer; add engine=lightning"),
        (["engine=lightning", "trainer.lightning.max_step=3"], "has no such argument; did you mean max_steps?"),
        (["engine=lightning", "trainer.lightning.strategy=ddp"], "a run trains one small network on one device"),
        (["engine=lightning", "trainer.lightning.devices=2"], "one device; .* give trainer.devices"),
        (["engine=lightning", "trainer.lightning.max_epochs=2"], "give trainer.max_epochs"),
        (["engine=lightning", "trainer.lightning.precision=7"], "Precision 7 is invalid"),
        (["engine=lightning", "trainer.precision=64", "trainer.lightning.precision=32"], "is set twice"),
    ],
)
def test_a_mistake_in_code_from_outside_is_named(overrides: list[str], message: str, folder: Path):
    with pytest.raises(UserError, match=message):
        load_config(TrainConfig, overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        [*LOSS, "loss.target=torch.nn.CrossEntropyLoss", "loss.args.label_smoothing=0.1"],
        [*LOSS, "loss.target=torch.nn.MultiMarginLoss"],
        [*OPTIMIZER, "optimizer.target=torch.optim.LBFGS"],
        [*SCHEDULER, *CYCLE, "scheduler.args.total_steps=10"],
        [*SCHEDULER, "scheduler.target=torch.optim.lr_scheduler.ReduceLROnPlateau"],
        [*SCHEDULER, "scheduler.target=torch.optim.lr_scheduler.CyclicLR", "scheduler.args={base_lr: 0.1, max_lr: 1}"],
    ],
)
def test_losses_optimizers_and_schedules_of_pytorch_may_be_named(overrides: list[str]):
    load_config(TrainConfig, overrides)


@pytest.mark.parametrize(("override", "decay"), [([], 0.0), (["optimizer.weight_decay=0.1"], 0.1)])
def test_an_optimizer_of_the_user_has_the_weight_decay_of_the_configuration(override: list[str], decay: float):
    optimizer = load_config(TrainConfig, [*ADAMW, *override]).optimizer.build([nn.Parameter(torch.ones(2))])
    assert optimizer.param_groups[0]["weight_decay"] == decay  # AdamW's own default is 0.01
    load_config(TrainConfig, [*ADAMW[:-1], "optimizer.target=torch.optim.Rprop"])  # has no weight decay


def test_two_callbacks_of_one_kind_are_refused_before_anything_begins():
    timer = "_target_: lightning.pytorch.callbacks.Timer"
    with pytest.raises(UserError, match="callbacks: Found more than one stateful callback of type `Timer`"):
        load_config(TrainConfig, ["engine=lightning", f"callbacks={{a: {{{timer}}}, b: {{{timer}}}}}"])


def test_a_name_that_is_used_is_refused_and_a_method_build_is_needed():
    def build(num_features: int) -> None:
        """Build nothing."""

    with pytest.raises(UserError, match="the model name sacnn is used by hemexp; choose another name"):
        register_network("sacnn")(build)
    with pytest.raises(UserError, match=r"has no method build\(self, num_features\)"):
        register_estimator("without_build")(type("Settings", (), {}))
    assert "without_build" not in MODELS


SETTINGS = {  # what a user may write wrongly in a dataclass of settings, and what names it
    "name: str = 'x'": r"Mine\.name: hemexp uses this name",
    "init_from: str = 'x'": r"Mine\.init_from: hemexp uses this name",
    "NAMES: int = 3": r"Mine\.NAMES: hemexp uses this name",
    "is_network = False": r"Mine\.is_network: hemexp uses this name",
    "act: set[int] = None": r"Mine\.act: set cannot be a setting: Unexpected type",
    "act: bytes = b'x'": r"Mine\.act: bytes cannot be a setting",
    "act: Mode = Mode.A": r"Mine\.act: Mode cannot be a setting",
    "depth: int = 'deep'": r"Mine\.depth: int cannot be a setting: Value 'deep'",
    "depth: 'Depth' = 3": r"Mine: the type of a setting cannot be read: name 'Depth' is not defined",
    "sizes: list = []": r"dataclass Mine: mutable default <class 'list'> for field sizes",
    "def build(self): pass": r"Mine: build must be written as build\(self, num_features\)",
    "build: int = 3": r"Mine: has no method build",
    "def __post_init__(self): raise ValueError('odd')": r"model=mine: .*Mine refuses its settings: odd",
    "depth: int": r"^model\.depth is not set: give model\.depth=VALUE$",
}


@pytest.mark.parametrize("line", SETTINGS)
@pytest.mark.parametrize("decorator", ["@dataclass\n", ""])
def test_a_mistake_in_a_dataclass_of_settings_names_the_class_and_the_field(line: str, decorator: str, folder: Path):
    head = "import enum, hemexp\nfrom dataclasses import dataclass\nMode = enum.Enum('Mode', 'A')\n"
    body = f"class Mine:\n    def build(self, num_features): pass\n    {line}\n"
    (folder / "my_code.py").write_text(f"{head}@hemexp.register_network('mine')\n{decorator}{body}")
    words = SETTINGS[line] if decorator else SETTINGS[line].replace("dataclass Mine", "Mine")
    with pytest.raises(UserError, match=words):
        load_config(TrainConfig, ["plugins=my_code", "model=mine"])


def test_a_decorator_needs_a_name_and_a_class_with_settings():
    class Net:
        def forward(self) -> None:
            """Do nothing."""

    with pytest.raises(UserError, match=r'Net: the decorator needs a name: @hemexp\.register_network\("my_model"\)'):
        register_network(Net)  # type: ignore[arg-type] # the mistake
    with pytest.raises(UserError, match=r"a network needs no plugin: model=custom model\.target="):
        register_network("a_net")(Net)
    for name in ("my net", "a/b", ""):
        with pytest.raises(UserError, match="must be letters, digits, _ and -"):
            register_network(name)(Net)
    with pytest.raises(UserError, match=r"must be written as .*lambda.*\(num_features\)"):
        register_estimator("a_function")(lambda: None)


def test_the_docstring_explains_the_settings():
    @dataclass
    class Explained:
        """A network.

        Attributes:
            width: units of a layer
        """

        width: int = 4
        depth: int = 2

        def build(self, num_features: int) -> None:
            """Build nothing."""

    schema = register_network("explained")(Explained)
    del MODELS["explained"]
    texts = {item.name: item.metadata["key"].help for item in fields(schema)}
    assert (texts["width"], texts["depth"]) == ("units of a layer", "setting of Explained; int")


def test_settings_may_have_lists_optional_values_and_no_default():
    @dataclass
    class Wide:
        depth: int
        sizes: list[int] = field(default_factory=lambda: [8, 4])
        rate: float | None = None

        def build(self, num_features: int) -> None:
            """Build nothing."""

    register_network("wide")(Wide)
    try:
        cfg = load_config(TrainConfig, ["model=wide", "model.depth=2", "model.sizes=[1]", "model.rate=0.5"])
        assert (cfg.model.depth, cfg.model.sizes, cfg.model.rate) == (2, [1], 0.5)
        assert load_config(TrainConfig, ["model=wide", "model.depth=2"]).model.rate is None
    finally:
        del MODELS["wide"]


def test_an_installed_package_registers_its_models_by_an_entry_point(folder: Path, capsys: pytest.CaptureFixture[str]):
    info = folder / "my_code-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-code\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hemexp.models]\nanything = my_code\n")
    sys.path.insert(0, str(folder))
    import_installed_plugins()
    assert load_config(TrainConfig, ["model=from_file"]).model.width == 4
    (info / "entry_points.txt").write_text("[hemexp.models]\nanything = broken_code\n")
    import_installed_plugins()
    assert "warning: entry point anything of my-code: cannot be imported" in capsys.readouterr().err
