"""The result of a run before it trains, and the files about its cohort."""

import logging
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from platform import python_version

import pandas as pd

from hemexp import __version__
from hemexp.cohort.find_column import list_columns
from hemexp.cohort.labels import list_outcome_values
from hemexp.cohort.load import Cohort
from hemexp.cohort.pseudonyms import get_check_value
from hemexp.cohort.table_one import characteristics
from hemexp.config import (
    ColumnLabelConfig,
    FeaturesConfig,
    TrainConfig,
    config_hash,
    get_entry,
    hashed_values,
    list_code,
)
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.features import feature_caveats
from hemexp.data.recognition import RECOGNITION, build_own_scans
from hemexp.data.split import Split
from hemexp.evaluation.folds import find_run_earlier_patients, held_out_indices
from hemexp.evaluation.sample_size import num_fitted_inputs
from hemexp.files.result import INIT_SEEN_TEST, LEAKAGE, DataSource, PatientFlow, RunResult, describe_metrics
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import FOR_EXCEL, to_csv, to_json, write_text
from hemexp.formatting import plural, program
from hemexp.metrics.own import get_metrics
from hemexp.models.first_weights import read_first_weights

log = logging.getLogger(__name__)
_last_texts: list[tuple[object, dict[str, str]]] = []  # at most one: the jobs of a sweep often write the same files

_OF_NETWORKS = {"max_epochs", "stop_loss", "patience", "batch_size", "gradient_clip_val"}  # of the trainer
_PACKAGES = ("torch", "lightning", "hydra-core", "pandas", "numpy", "scikit-learn")


def start_result(cfg: TrainConfig, data: ExpansionDataModule) -> RunResult:
    """Return what result.json holds of a run before it trains."""
    assert data.cohort is not None
    labels = data.labels["expansion"].to_numpy()
    train, test = (labels[data.split.indices(part)] for part in ("train", "test"))
    caveats = feature_caveats(data.features)
    if test.min() == test.max():
        caveats.append("one_outcome_in_test")
    if min(train.sum(), (1 - train).sum()) < 10 * num_fitted_inputs(cfg.model, data.features):
        caveats.append("few_events_per_input")
    if vars(cfg.model).get("init", "default") != "default":
        caveats.append("inert_init")
    weights_caveats, weights_digest = _check_first_weights(cfg, data)
    caveats += weights_caveats
    if not cfg.model.is_network and not get_entry(cfg.model.name).target:
        caveats.append("own_classifier")
    if data.cohort.is_simulated:
        caveats.append("synthetic_cohort")
    own_outcome = isinstance(cfg.label, ColumnLabelConfig)
    if own_outcome:
        caveats.append("own_outcome")
    if cfg.debug.name != "off" or cfg.trainer.lightning.get("fast_dev_run"):
        caveats.append("debug")
    flow = count_patients(data)
    return RunResult(
        caveats=caveats,
        config_hash=config_hash(cfg),
        code=list_code(cfg),
        data_hash=data.cohort.data_hash,
        data=DataSource(
            kind=cfg.data.kind,
            root=cfg.data.root,
            num_patients=len(labels),
            num_centers=data.cohort.num_centers,
            findings=data.cohort.findings.counts(),
        ),
        seed=cfg.seed,
        tags=cfg.tags,
        own_metrics=describe_metrics(get_metrics(cfg.metrics)),
        versions=read_versions(),
        label_definition=cfg.label.describe(),
        label_values=list_outcome_values(data.cohort.scans, cfg.label, data.cohort.mapping),
        flow=flow,
        input_group=cfg.features.name
        if cfg.model.inputs is None
        else f"of the model: {', '.join(data.features) or 'none'}",
        num_features=len(data.features),
        inputs=data.features,
        left_out_inputs=data.left_out,
        constant_inputs=data.constant,
        leaky_inputs={name: each.agrees_with for name, each in data.leaky_inputs.items()},
        num_train=flow.train,
        num_val=flow.val,
        num_test=flow.test,
        events_train=int(train.sum()),
        events_test=int(test.sum()),
        majority=int(train.mean() > 0.5),
        best_possible_auroc=None if own_outcome else data.cohort.best_auroc_under(cfg.label),
        config=asdict(cfg),
        pseudonym_key=get_check_value(cfg.privacy.pseudonymize),
        first_weights_digest=weights_digest,
    )


def _check_first_weights(cfg: TrainConfig, data: ExpansionDataModule) -> tuple[list[str], str | None]:
    """Log what a run takes over from another one, and which patients are not new; return caveats and the digest.

    Raises:
        UserError: the first weights cannot be read, or none fits.
    """
    weights = read_first_weights(cfg.model)
    if weights is None:
        return [], None
    log.info("%s", weights.describe(cfg.model, data.features))
    earlier, held_out = find_run_earlier_patients(cfg, data), held_out_indices(cfg.evaluation, data)
    if known := held_out & set(earlier.recognized_by):
        log.warning(
            "warning: the first weights have learned from %d of the %d patients in the test part and in folds; "
            "the verdict will be %s: %s",
            len(known), len(held_out), LEAKAGE, INIT_SEEN_TEST,
        )  # fmt: skip
    if earlier.unknown:
        log.warning("warning: %s", earlier.unknown)
    return ["began_from_weights", *["earlier_patients_unknown"] * bool(earlier.unknown)], weights.digest


@cache
def read_versions() -> dict[str, str]:
    """Return the versions of Python, hemexp and its main packages."""
    packages = {name: version(name) for name in _PACKAGES}
    return {"python": python_version(), "hemexp": __version__, **packages}


def count_patients(data: ExpansionDataModule) -> PatientFlow:
    """Return the number of patients in each part, and of those without a known outcome by reason."""
    unlabelled = data.labels.loc[data.labels["expansion"].isna(), "reason"].value_counts()
    counts = {part: len(data.split.indices(part)) for part in ("unused", "train", "val", "test")}
    reasons = {str(reason): int(count) for reason, count in unlabelled.items()}
    return PatientFlow(patients=len(data.labels), unlabelled=reasons, **counts)


def write_cohort(
    run: RunDirectory, cohort: Cohort, outcomes: "pd.Series[float]", split: Split, roles: list[str]
) -> None:
    """Write the parts of the split, the data-quality findings, table one, and what recognizes the patients.

    Args:
        run: to write into.
        cohort: of the run.
        outcomes: of its patients.
        split: of its patients.
        roles: of its patients; ``train`` for those that the model has learned from.
    """
    state = (
        cohort.data_hash, cohort.findings.rows[:], cohort.mapping, cohort.own_inputs, outcomes.to_numpy().tobytes(),
        split.parts, roles,
    )  # fmt: skip
    if not _last_texts or _last_texts[0][0] != state:
        table = characteristics(cohort.patients, outcomes, split.parts, cohort.own_inputs)
        texts = {
            "splits.json": to_json(split.ids()),
            "quality.csv": FOR_EXCEL + to_csv(cohort.findings.frame()),
            **({"mapping.yaml": cohort.mapping.to_yaml()} if cohort.mapping else {}),
            "characteristics.csv": to_csv(table),
            RECOGNITION: to_csv(build_own_scans(cohort.scans, roles)),
        }
        _last_texts[:] = [(state, texts)]
    for name, text in _last_texts[0][1].items():
        write_text(run.path / name, text)


def list_idle_keys(cfg: TrainConfig) -> list[str]:
    """Return the changed keys of the training of networks, for a model that is not a network."""
    if cfg.model.is_network:
        return []
    own = {"engine": cfg.engine != "auto", "callbacks": cfg.callbacks, "trainer.lightning": cfg.trainer.lightning}
    return [name for name, is_set in own.items() if is_set] + [
        f"{section.PREFIX}={value}" if name == "name" else f"{section.PREFIX}.{name}"
        for section in (cfg.optimizer, cfg.scheduler, cfg.loss, cfg.trainer)
        for name, value in hashed_values(section).items()
        if name in _OF_NETWORKS or (name != "defaults_version" and section is not cfg.trainer)
    ]


def log_start(cfg: TrainConfig, result: RunResult, resume: bool) -> None:
    """Log the label, the split, and the patients and inputs that the run starts with."""
    source = "a synthetic cohort" if cfg.data.root is None else f"{cfg.data.root} ({cfg.data.kind})"
    log.info("outcome: %s; split: %s", cfg.label.describe(), cfg.split.describe())
    parts = (
        f"train {result.num_train} ({result.events_train} events), "
        f"test {result.num_test} ({result.events_test} events), "
        f"unused {result.flow.unused}, unlabelled {sum(result.flow.unlabelled.values())}"
    )
    log.info("%s: %d patients, %d inputs; %s", source, result.data.num_patients, result.num_features, parts)
    if cfg.features.name not in FeaturesConfig.NAMES and cfg.model.inputs is None:
        log.info("inputs: %s", list_columns(result.inputs))
    if idle := list_idle_keys(cfg):
        log.warning("no effect with model=%s, which is not a network: %s", cfg.model.name, ", ".join(idle))
    if result.constant_inputs:
        log.info("inputs with one value in the whole training part: %s", ", ".join(result.constant_inputs))
    for name, agrees_with in result.leaky_inputs.items():
        log.warning("warning: the input %s agrees with %s; remove it from the inputs", name, agrees_with)
    if counts := result.data.findings:
        total, kinds = plural(sum(counts.values()), "data-quality warning"), plural(len(counts), "kind")
        log.info("%s of %s: %s lists each cell", total, kinds, program("prepare"))
    if resume:
        log.info("resuming from checkpoints/last.ckpt")
