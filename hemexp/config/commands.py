"""The configuration of each command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

from hemexp.config.cohort import (
    DataConfig,
    FeaturesConfig,
    GrowthLabelConfig,
    LabelConfig,
    SplitConfig,
    resolve_data,
)
from hemexp.config.debug import DebugConfig
from hemexp.config.models import ModelConfig
from hemexp.config.optimization import (
    CustomSchedulerConfig,
    LossConfig,
    OptimizerConfig,
    SchedulerConfig,
    check_rates,
)
from hemexp.config.patient_names import decode_name
from hemexp.config.privacy import PrivacyConfig
from hemexp.config.section import REQUIRED, Section, join_or, key
from hemexp.config.sweeps import LoggerConfig, SearchConfig, WhereConfig
from hemexp.config.trainer_arguments import check_callbacks, list_targets
from hemexp.config.training import EvaluationConfig, TrainerConfig
from hemexp.config.trials import try_scheduler
from hemexp.errors import UserError
from hemexp.metrics.own import get_metrics, get_source
from hemexp.metrics.table import Metric


@dataclass(kw_only=True)
class TrainConfig(Section):
    """The configuration of ``python train.py``."""

    data: DataConfig = key(REQUIRED, "the cohort")
    label: LabelConfig = key(REQUIRED, "the definition of hematoma expansion")
    features: FeaturesConfig = key(REQUIRED, "the inputs of the model")
    split: SplitConfig = key(REQUIRED, "the training and the test part")
    evaluation: EvaluationConfig = key(REQUIRED, "the evaluation of the model")
    model: ModelConfig = key(REQUIRED, "the model")
    optimizer: OptimizerConfig = key(OptimizerConfig, "the optimizer of a network")
    scheduler: SchedulerConfig = key(SchedulerConfig, "the learning rate of a network, epoch by epoch")
    loss: LossConfig = key(LossConfig, "the loss that a network lowers")
    trainer: TrainerConfig = key(TrainerConfig, "the training of a network")
    engine: str = key(
        "auto",
        "batched: many networks in one tensor; lightning: an ordinary Trainer for each; auto: batched where the model "
        "has a batched form",
        choices=("auto", "batched", "lightning"),
    )
    ensemble: int = key(
        1, "networks with different seeds, trained as one batch; their mean probability is the result", at_least=1,
        at_most=1000,
    )  # fmt: skip
    calibrate: str = key(
        "none", "logistic: recalibrate by cross-validation within the training part", choices=("none", "logistic")
    )
    callbacks: dict[str, Any] = key(
        {}, "callbacks of engine=lightning by a name of yours, each with _target_, as callbacks.NAME._target_=CLASS"
    )
    where: WhereConfig = key(REQUIRED, "the place where the jobs of a sweep run", hashed=False)
    search: SearchConfig = key(REQUIRED, "the way in which a sweep finds its settings", hashed=False)
    logger: LoggerConfig = key(LoggerConfig, "the loggers of the run, one or a list such as [csv,mlflow]", hashed=False)
    plugins: list[str] = key(
        [], "modules of yours to import, which register models; in the current folder, or installed", hashed=False
    )
    metrics: Any = key(
        [],
        "more metrics: names of torchmetrics classes, of own functions f(labels, probabilities) or of registered ones",
    )
    tags: list[str] = key([], "words to find the run by, in result.json, the leaderboard and the loggers", hashed=False)
    seed: int = key(0, "seed of first weights, mini-batches, dropout and random splits", at_least=0, at_most=2**32 - 1)
    output_dir: str = key(REQUIRED, "directory for the files of the run; it must be new or hold this run", hashed=False)
    debug: DebugConfig = key(DebugConfig, "short runs that test the program")
    privacy: PrivacyConfig = key(PrivacyConfig, "the names of patients in the files that are written")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split.val_fraction > 0 and not self.model.is_network:
            raise UserError(
                f"split.val_fraction={self.split.val_fraction}: must be 0 with model={self.model.name}; "
                "only a network uses a validation part"
            )
        check_rates(self.optimizer, self.scheduler)
        if isinstance(self.scheduler, CustomSchedulerConfig):
            try_scheduler(self.scheduler, self.trainer.max_epochs)
        batched = self.model.has_batched_form
        rule = f"model={self.model.name} has no batched form; remove the key, or give engine=lightning"
        self.require(batched or self.engine != "batched" or not self.model.is_network, "engine", rule)
        if self.callbacks:
            check_callbacks(self.callbacks)
        for section in (self.optimizer, self.scheduler, self.loss):
            if section.name == "custom" and self.is_batched:
                raise UserError(f"{section.PREFIX}=custom: needs an ordinary Trainer; add engine=lightning")
        for name, value in (("trainer.lightning", self.trainer.lightning), ("callbacks", self.callbacks)):
            if value and self.is_batched:
                raise UserError(f"{name}={value}: needs an ordinary Trainer; add engine=lightning")
        self.metrics = self.list_names("metrics")
        names = tuple(metric.name for metric in get_metrics(self.metrics) if metric.ranks)
        rule = f"must be {join_or(names)}; your own metric needs metrics=[MODULE.NAME] and a direction: " + (
            "@hemexp.register_metric(NAME, higher_is_better=True)"
        )
        self.search.require(self.search.score in names, "score", rule)
        self.data = resolve_data(self.data)
        self.privacy.keep_outside("output_dir", self.output_dir)
        self.privacy.keep_outside("data.root", self.data.root)

    def list_code_names(self) -> list[str]:
        """Return the classes of the callbacks and the functions of the metrics; a registered object is in a plugin."""
        names = self.list_names("metrics")
        plugins = self.plugins if any("." not in name for name in names) else []
        return [*list_targets(self.callbacks), *map(get_source, names), *plugins]

    @property
    def is_batched(self) -> bool:
        """Whether the model is a network that is trained by the batched engine."""
        return self.model.is_batched(self.engine)  # a part of another package with it is refused

    @property
    def ranking_metric(self) -> Metric:
        """The metric that ``search.score`` names."""
        return next(metric for metric in get_metrics(self.metrics) if metric.name == self.search.score)


@dataclass(kw_only=True)
class PrepareConfig(Section):
    """The configuration of ``python prepare.py``."""

    data: DataConfig = key(REQUIRED, "the cohort")
    label: LabelConfig = key(REQUIRED, "the definition of hematoma expansion")
    imputation: Optional[str] = key(
        None, "also write completed.csv, the paper's table with every gap filled", choices=("previous_three",)
    )
    template: Optional[str] = key(None, "folder for blank workbooks in English and Chinese; no cohort is read then")
    output_dir: str = key(REQUIRED, "directory for the tables; new, or written by an earlier prepare.py")
    privacy: PrivacyConfig = key(PrivacyConfig, "the names of patients in the files that are written")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.template is not None:
            self.require(not Path(self.template).is_file(), "template", "is a file; give a folder")
            rule = "a call writes blank workbooks or reads a cohort; remove template or data.root"
            self.require(self.data.root is None, "template", rule)
        self.data = resolve_data(self.data)
        self.privacy.keep_outside("output_dir", self.output_dir)
        self.privacy.keep_outside("data.root", self.data.root)


@dataclass(kw_only=True)
class PredictConfig(Section):
    """The configuration of ``python predict.py``."""

    data: DataConfig = key(REQUIRED, "the cohort of the new patients")
    run_dir: Optional[str] = key(
        None, "directory of a finished run of train.py, or its folder model alone; it is only read"
    )
    output_dir: str = key(REQUIRED, "directory for the predictions; new, or written by an earlier predict.py")
    privacy: PrivacyConfig = key(PrivacyConfig, "the names of patients in the files that are written")
    plugins: list[str] = key(
        [], "modules that the run's model needs; only what you name here, or have installed as a plugin, is imported"
    )
    metrics: Any = key(
        [], "metrics as in train.py; those of the run that are classes of torchmetrics need not be named"
    )
    patient: dict[str, Any] = key(
        {}, "one patient instead of a cohort, such as patient.age=70 patient.volume_ml=25 patient.hours=2"
    )
    recognize: str = key(
        "measurements",
        "recognize the run's own patients by scan serials and by equal measurements, by serials alone (ids), or not",
        choices=("measurements", "ids", "off"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_run(self, self.run_dir)
        self.patient = {decode_name(name): value for name, value in self.patient.items()}
        if self.patient:
            rule = "patient.NAME=VALUE is set, too; a call predicts one patient or a cohort; remove one of them"
            self.data.require(self.data.root is None, "root", rule)
            self.data.require(self.data.kind == "auto", "kind", rule)
            nested = [name for name, value in self.patient.items() if isinstance(value, dict | list)]
            if nested:
                raise UserError(f"patient.{nested[0]}: is not a single value; rule: patient.NAME=VALUE")
        elif self.data.root is None and self.data.kind == "auto":
            raise UserError(
                "data.root is not set: give data.root=DIR, values of one patient such as patient.age=70, or "
                "data=synthetic for synthetic patients"
            )
        if not self.patient:
            self.data = resolve_data(self.data)
        _check_metrics_and_key(self)


@dataclass(kw_only=True)
class UpdateConfig(Section):
    """The configuration of ``python update.py``."""

    data: DataConfig = key(REQUIRED, "the cohort of the other hospital, with known outcomes")
    run_dir: Optional[str] = key(
        None, "directory of a finished run, or its folder model alone; it is only read", is_file=True
    )
    method: str = key(
        "auto",
        "none: keep the model; intercept: correct the average risk; intercept_slope: also the spread of the risks; "
        "refit: train again on the new patients; auto: the smallest of them that is enough, by a closed test",
        choices=("auto", "none", "intercept", "intercept_slope", "refit"),
    )
    num_folds: int = key(
        5, "folds of the cross-validation of the update among the new patients", at_least=2, at_most=100
    )
    num_repeats: int = key(20, "repeats of the cross-validation, each with new folds", at_least=1, at_most=10_000)
    seed: int = key(0, "seed of the folds, and of a refit", at_least=0, at_most=2**32 - 1)
    output_dir: str = key(
        REQUIRED, "directory for the files of the updated run; it must be new or hold this run", hashed=False
    )
    privacy: PrivacyConfig = key(PrivacyConfig, "the names of patients in the files that are written")
    plugins: list[str] = key(
        [], "modules that the run's model needs; only what you name here, or have installed as a plugin, is imported",
        hashed=False,
    )  # fmt: skip
    metrics: Any = key(
        [], "metrics as in train.py; those of the run that are classes of torchmetrics need not be named"
    )
    recognize: str = key(
        "measurements",
        "recognize the run's own patients by scan serials and by equal measurements, by serials alone (ids), or not",
        choices=("measurements", "ids", "off"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_run(self, self.run_dir)
        if self.data.root is None and self.data.kind == "auto":
            raise UserError("data.root is not set: give data.root=DIR, or data=synthetic for synthetic patients")
        self.data = resolve_data(self.data)
        _check_metrics_and_key(self)


def _check_metrics_and_key(section: PredictConfig | UpdateConfig) -> None:
    """Check the names of the metrics, and that the key of the pseudonyms stays out of these folders."""
    section.metrics = section.list_names("metrics")
    get_metrics(section.metrics)
    section.privacy.keep_outside("output_dir", section.output_dir)
    section.privacy.keep_outside("data.root", section.data.root)


def _check_run(section: Section, run_dir: str | None) -> None:
    """Refuse a run_dir that is not the directory of a finished run, or its folder model."""
    if run_dir is None:
        raise UserError("run_dir is not set: give run_dir=RUN, the directory of a finished run of train.py")
    section.require(Path(run_dir).exists(), "run_dir", "there is no such folder; give the directory of a run")
    finished = any(Path(run_dir, name).is_file() for name in ("DONE", "model.json"))
    rule = "is not a finished run (it does not hold a file DONE), nor its folder model (with model.json)"
    section.require(finished, "run_dir", rule)


@dataclass(kw_only=True)
class AuditConfig(Section):
    """The configuration of ``python audit.py``."""

    data: DataConfig = key(REQUIRED, "the cohort")
    label: LabelConfig = key(REQUIRED, "the definition of hematoma expansion")
    features: FeaturesConfig = key(REQUIRED, "the inputs of the models")
    optimizer: OptimizerConfig = key(OptimizerConfig, "the optimizer of the networks")
    scheduler: SchedulerConfig = key(SchedulerConfig, "the learning rate of the networks, epoch by epoch")
    loss: LossConfig = key(LossConfig, "the loss that the networks lower")
    trainer: TrainerConfig = key(TrainerConfig, "the training of the networks")
    models: str = key(
        "default", "each protocol with its own models, or with all of them where it can", choices=("default", "all")
    )
    num_seeds: int = key(20, "seeds of each protocol and model", at_least=1, at_most=1000)
    only: Any = key(
        None,
        "a protocol, or a list such as [honest_60_40,paper_claim]; figure4: fits to the paper's loss curve; null: all",
    )
    predictions: Optional[str] = key(
        None, "published table to audit: patient, probability or class, and perhaps who was in training"
    )
    output_dir: str = key(REQUIRED, "directory for the tables and the page; new, or of an earlier audit.py")
    privacy: PrivacyConfig = key(PrivacyConfig, "the names of patients in the files that are written")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [self.only] if isinstance(self.only, str) else self.only
        is_list = given is None or (isinstance(given, list) and all(isinstance(each, str) for each in given) and given)
        self.require(bool(is_list), "only", "must be the name of a protocol, or a list of names")
        self.only = given
        self.require(isinstance(self.label, GrowthLabelConfig), "label", "must be a definition of expansion")
        is_file = self.predictions is None or Path(self.predictions).is_file()
        self.require(is_file, "predictions", "there is no such file; give a table of predictions")
        check_rates(self.optimizer, self.scheduler)
        self.data = resolve_data(self.data)
        self.privacy.keep_outside("output_dir", self.output_dir)
        self.privacy.keep_outside("data.root", self.data.root)


@dataclass
class ReportOptions(Section):
    """The content of the page."""

    PREFIX: ClassVar[str] = "report"
    patients: bool = key(False, "show single patients too (ids, risks, findings); then keep the page to yourself")


@dataclass(kw_only=True)
class ReportConfig(Section):
    """The configuration of ``python report.py``."""

    report: ReportOptions = key(ReportOptions, "the content of the page")
    run_dir: Optional[str] = key(None, "directory of a run of train.py; report.html is written into it")
    sweep_dir: Optional[str] = key(None, "directory of a sweep; report.html and figures/ are written into it")
    output_dir: str = key(REQUIRED, "directory for report.log and .hydra/; the page is not written here")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.run_dir is None and self.sweep_dir is None:
            raise UserError("run_dir is not set: give run_dir=RUN (a run of train.py) or sweep_dir=SWEEP (a sweep)")
        if self.run_dir is not None and self.sweep_dir is not None:
            raise UserError(f"sweep_dir={self.sweep_dir}: run_dir is set too; a page is about one of them")
        is_run, is_sweep = ((self.place / name).is_file() for name in ("result.json", "leaderboard.csv"))
        if self.sweep_dir is None:
            hint = f"; it is a sweep: give sweep_dir={self.place}" if is_sweep else ""
            if (self.place / "model.json").is_file():
                hint = "; it is the model of a run: give the directory of the run, which holds its results"
            self.require(self.place.exists(), "run_dir", "there is no such folder; give the directory of a run")
            self.require(is_run, "run_dir", f"is not a run of train.py; it does not hold result.json{hint}")
            is_prediction = (self.place / "predictions.csv").is_file() and not (self.place / "splits.json").is_file()
            rule = "is a prediction, not a run of train.py; its page report.html was written with it"
            self.require(not is_prediction, "run_dir", rule)
        else:
            hint = f"; it is a run: give run_dir={self.place}" if is_run else ""
            self.require(self.place.exists(), "sweep_dir", "there is no such folder; give the directory of a sweep")
            self.require(is_sweep, "sweep_dir", f"is not a sweep of train.py; it does not hold leaderboard.csv{hint}")

    @property
    def place(self) -> Path:
        """The directory that the page is about."""
        return Path(str(self.run_dir or self.sweep_dir))
