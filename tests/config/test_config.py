from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hemexp.config import MODELS, PredictConfig, PrepareConfig, TrainConfig, config_hash
from hemexp.config.compose import CONFIG_DIR, list_keys, load_config
from hemexp.config.sweeps import LOGGERS
from hemexp.errors import UserError

GROUPS = (
    "data", "label", "features", "split", "evaluation", "where", "search", "logger", "debug", "experiment",
)  # fmt: skip
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONFIG_DIR / group).glob("*.yaml"))]
OPTIONS += [
    ("model", name) for name, entry in MODELS.items() if entry.target
]  # it needs model.target; see test_custom.py


def overrides(group: str, name: str, workbooks: Path, tmp_path: Path) -> list[str]:
    if name == "tidy":
        (tmp_path / "scans.csv").touch()
        return ["data=tidy", f"data.root={tmp_path}"]
    more = {"workbook": [f"data.root={workbooks}"], "mapped": [f"data.root={workbooks}"]}
    if name in {"column", "columns"}:
        return [f"{group}={name}", "label.column=death" if name == "column" else "features.columns=[age]"]
    return [f"{group}={name}", *more.get(name, [])]


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_composes_and_passes_its_rules(group: str, name: str, workbooks: Path, tmp_path: Path):
    if group == "logger" and LOGGERS.get(name):
        pytest.importorskip(name)
    cfg = load_config(TrainConfig, overrides(group, name, workbooks, tmp_path))
    chosen = getattr(cfg, group, None)
    if group == "data":
        assert chosen.kind == ("synthetic" if name == "auto" else name)
    elif group == "logger":
        assert chosen.names == [each for each in LOGGERS if each == name]
    elif group != "experiment":
        assert chosen.name == name


def test_defaults_are_the_papers_system():
    cfg = load_config(TrainConfig)
    assert (cfg.data.kind, cfg.label.name, cfg.features.name, cfg.split.name, cfg.model.name) == (
        "synthetic",
        "onset_48h",
        "paper",
        "paper",
        "sacnn",
    )
    assert (cfg.optimizer.lr, cfg.trainer.max_epochs, cfg.trainer.stop_loss) == (0.001, 1000, 0.001)
    assert config_hash(cfg) == config_hash(load_config(TrainConfig, ["experiment=paper"]))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.kernel_size=4", ["model.kernel_size=4", "odd"]),
        ("model.kernel_size=-1", ["model.kernel_size=-1", "1 to 999"]),
        ("model.num_heads=5", ["model.num_heads=5", "divide", "16"]),
        ("model.dropout=1", ["model.dropout=1.0", "at least 0 and below 1"]),
        ("model.channels=[8]", ["model.channels=[8]", "two"]),
        ("model.channels=[8,0]", ["model.channels=[8, 0]", "each", "1 to 65536"]),
        ("data.planted_errors=true data.num_patients=4", ["data.num_patients=4", "at least 5"]),
        ("label.absolute_ml=0", ["label.absolute_ml=0.0", "0.001 to 1000 mL or null"]),
        ("tags=[[a]]", ["tags=[['a']]", "a single value"]),
        ("where.name=ray", ["where.name=ray", "must be local", "where=NAME"]),
        ("model.init=ones", ["model.init=ones", "all_zeros"]),
        ("model=logistic model.C=-1", ["model.C=-1.0", "above 0"]),
        ("model=logistic model.l1_ratio=2", ["model.l1_ratio=2.0", "0 to 1 or null"]),
        ("model=logistic model.l1_ratio=null model.C=1", ["model.l1_ratio=None", "model.C is 1.0"]),
        ("model=ridge2 split.val_fraction=0.2", ["split.val_fraction=0.2", "model=ridge2"]),
        ("model=ridge2 model.C=0", ["model.C=0.0", "above 0"]),
        ("model=random_forest model.num_trees=0", ["model.num_trees=0", "1 to 100000"]),
        ("model=random_forest model.max_features=2", ["model.max_features=2.0", "above 0 and at most 1 or null"]),
        ("model=xgboost model.max_depth=99", ["model.max_depth=99", "1 to 16"]),
        ("model=tabm model.val_fraction=0", ["model.val_fraction=0.0", "above 0 and below 1"]),
        ("evaluation.num_folds=1", ["evaluation.num_folds=1", "2 to 100"]),
        ("evaluation.num_refits=-1", ["evaluation.num_refits=-1", "0 to 10000"]),
        ("evaluation.name=some", ["evaluation.name=some", "evaluation=NAME"]),
        ("optimizer.lr=0", ["optimizer.lr=0.0", "above 0"]),
        ("trainer.max_epochs=0", ["trainer.max_epochs=0", "at least 1"]),
        ("trainer.batch_size=0", ["trainer.batch_size=0", "null"]),
        ("trainer.accelerator=warp", ["trainer.accelerator=warp", "cpu"]),
        ("trainer.devices=2", ["trainer.devices=2", "one device"]),
        ("label.clock=noon", ["label.clock=noon", "baseline"]),
        ("label=column", ["label.column=", "must not be empty", "label.column=NAME"]),
        ("label=column label.column=a label.positive=1 label.at_least=3", ["label.at_least=3.0", "one of the two"]),
        ("features=columns", ["features.columns=[]", "must not be empty"]),
        ("features=columns features.columns=[age] features.name=all", ["features.name=all", "another group of inputs"]),
        ("features=columns features.columns=[age] features.name=a/b", ["features.name=a/b", "name of a directory"]),
        ("features=available features.min_share=2", ["features.min_share=2.0", "0 to 1"]),
        ("label.intraventricular=true", ["label.intraventricular", "do not hold"]),
        ("split.val_fraction=1", ["split.val_fraction=1.0", "at least 0 and below 1"]),
        ("data.prevalence=0", ["data.prevalence=0.0", "0.001 to 0.999"]),
        ("data=workbook", ["data.root is not set", "data.root=PATH"]),
        ("data.root=/nowhere/at/all", ["/nowhere/at/all", "no such file or folder"]),
        ("seed=-1", ["seed=-1", "0 to 4294967295"]),
        ("seed=4294967296", ["seed=4294967296", "0 to 4294967295"]),
        ("optimizer.lr=inf", ["optimizer.lr=inf", "finite"]),
        ("optimizer.lr=1e31", ["optimizer.lr=1e+31", "at most 1e+30"]),
        ("label.window_hours=inf", ["label.window_hours=inf", "finite"]),
        ("features.clip=nan", ["features.clip=nan", "finite"]),
        ("model.name=cnn", ["model.name=cnn", "model=NAME"]),
        ("split.name=kfold", ["split.name=kfold", "split=NAME"]),
        ("trainer.devices=[0]", ["trainer.devices=[0]", "cpu"]),
        ("trainer.devices=1.0", ["trainer.devices=1.0", "one device"]),
        ("trainer.devices=true", ["trainer.devices=True", "one device"]),
        ("trainer.num_threads=100000000", ["trainer.num_threads=100000000", "1024"]),
        ("model.hidden_dim=100000000000", ["model.hidden_dim=100000000000", "65536"]),
        ("data.signal=1e6", ["data.signal=1000000.0", "0 to 20"]),
        (f"data.root={__file__}", [__file__, "holds no table"]),
        (f"data.root={__file__} data=mapped data.mapping=nowhere.yaml", ["data.mapping=nowhere.yaml", "no such file"]),
    ],
)
def test_a_broken_rule_states_key_value_and_rule(override: str, words: list[str]):
    with pytest.raises(UserError) as error:
        load_config(TrainConfig, override.split())
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("override", ["optimizer.lr=fast", "model.kernel_size=3.5", "model.kernel=3", "model=resnet"])
def test_wrong_types_and_unknown_keys_are_refused_when_composing(override: str):
    with pytest.raises((HydraException, OmegaConfBaseException)):
        load_config(TrainConfig, [override])


def test_a_key_of_another_choice_is_unknown():
    with pytest.raises(HydraException):
        load_config(TrainConfig, ["model=cnn", "model.num_heads=2"])
    with pytest.raises(HydraException):
        load_config(TrainConfig, ["split.fold=1"])
    assert load_config(TrainConfig, ["split=kfold", "split.fold=4"]).split.fold == 4


def test_zeroed_convolutions_need_convolutions():
    with pytest.raises(UserError, match=r"model\.init=zeros"):
        load_config(TrainConfig, ["model=attention", "model.init=zeros"])


def test_the_folder_decides_the_kind(tmp_path: Path, workbooks: Path):
    with pytest.raises(UserError, match="holds no table"):
        load_config(TrainConfig, [f"data.root={tmp_path}"])
    (tmp_path / "scans.csv").touch()
    assert load_config(TrainConfig, [f"data.root={tmp_path}"]).data.kind == "tidy"
    assert load_config(PrepareConfig, [f"data.root={workbooks}"]).data.kind == "workbook"
    (tmp_path / "表1-x.xlsx").touch()
    with pytest.raises(UserError, match="data=tidy or data=workbook"):
        load_config(TrainConfig, [f"data.root={tmp_path}"])
    assert load_config(TrainConfig, ["data=tidy", f"data.root={tmp_path}"]).data.kind == "tidy"


def test_a_synthetic_cohort_and_a_folder_exclude_each_other(workbooks: Path):
    with pytest.raises(UserError, match="data=synthetic"):
        load_config(TrainConfig, ["data=synthetic", f"data.root={workbooks}"])
    with pytest.raises(UserError, match=r"data\.signal=3\.0"):
        load_config(TrainConfig, ["data.signal=3", f"data.root={workbooks}"])


def test_predict_needs_a_finished_run_and_a_cohort(finished_run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="run_dir is not set"):
        load_config(PredictConfig)
    with pytest.raises(UserError, match=r"run_dir=.*not a finished run"):
        load_config(PredictConfig, [f"run_dir={tmp_path}"])
    with pytest.raises(UserError, match=r"data\.root is not set"):
        load_config(PredictConfig, [f"run_dir={finished_run}"])


def test_headers_in_any_language_can_be_written_on_the_command_line():
    cfg = load_config(
        TrainConfig,
        ["label=column", "label.column=血肿扩大(是/否)", "label.positive=是", "features=columns",
         "features.columns=[年龄, Hematoma volume (mL),gcs]"],
    )  # fmt: skip
    assert (cfg.label.column, cfg.label.positive) == ("血肿扩大(是/否)", "是")
    assert cfg.features.columns == ["年龄", "Hematoma volume (mL)", "gcs"]


def test_the_experiment_for_own_data_takes_another_model_by_one_key():
    cfg = load_config(TrainConfig, ["experiment=own_data"])
    assert (cfg.features.name, cfg.split.name, cfg.evaluation.name) == ("available", "stratified", "standard")
    assert (cfg.model.name, cfg.model.C, cfg.model.l1_ratio) == ("logistic", None, 0.0)
    assert load_config(TrainConfig, ["experiment=own_data", "model=sacnn"]).model.name == "sacnn"


def test_a_label_describes_its_definition():
    words = [load_config(TrainConfig, options).label.describe() for options in ([], ["label=baseline_24h"])]
    words.append(load_config(TrainConfig, ["label=absolute_3ml", "label.inclusive=false"]).label.describe())
    outcome = ["label=column", "label.column=mrs_90d"]
    words += [load_config(TrainConfig, [*outcome, key]).label.describe() for key in ("label.at_least=3", "seed=0")]
    assert words == [
        "growth by at least 6 mL or 33 % within 48 h of onset",
        "growth by at least 6 mL or 33 % within 24 h of the first scan",
        "growth by more than 3 mL within 48 h of onset",
        "mrs_90d is at least 3, as the file states it",
        "mrs_90d is yes, as the file states it",
    ]


def test_list_keys_returns_groups_and_their_keys():
    assert {"model.kernel_size", "data.root", "seed", "output_dir"} <= set(list_keys(TrainConfig))
