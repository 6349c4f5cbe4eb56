"""What is known, written and said of a run before it trains and after."""

import logging
from importlib.metadata import version
from platform import python_version
from typing import Any

from hemexp import __version__
from hemexp.cohort.table_one import characteristics
from hemexp.commands.console import (
    calibration_notes,
    caveat_notes,
    claim_notes,
    print_comparison,
    print_scores,
    print_tested,
    score_notes,
    stability_notes,
)
from hemexp.config import NetConfig, TrainConfig, config_hash
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.features import feature_caveats
from hemexp.data.split import patient_keys
from hemexp.evaluation.metrics import auprc_by_chance
from hemexp.evaluation.sample_size import num_fitted_inputs
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_csv, write_json
from hemexp.training.member import FitResult

log = logging.getLogger(__name__)


def collect_metadata(cfg: TrainConfig, data: ExpansionDataModule) -> dict[str, Any]:
    """Return what is known of a run before it trains."""
    assert data.cohort is not None
    labels = data.labels["expansion"].to_numpy()
    parts = {part: labels[data.split.indices(part)] for part in ("train", "test")}
    caveats = feature_caveats(data.features)
    if parts["test"].min() == parts["test"].max():
        caveats.append("one_outcome_in_test")
    if min(parts["train"].sum(), (1 - parts["train"]).sum()) < 10 * num_fitted_inputs(cfg.model, data.features):
        caveats.append("few_events_per_input")
    if isinstance(cfg.model, NetConfig) and cfg.model.init != "default":
        caveats.append("inert_init")
    if data.cohort.is_simulated:
        caveats.append("synthetic_cohort")
    if cfg.debug.name != "off":
        caveats.append("debug")
    packages = ("torch", "lightning", "hydra-core", "pandas", "numpy", "scikit-learn")
    return {
        "caveats": caveats,
        "config_hash": config_hash(cfg),
        "data_hash": data.cohort.data_hash,
        "data": {
            "kind": cfg.data.kind,
            "root": cfg.data.root,
            "num_patients": len(labels),
            "findings": data.cohort.findings.counts(),
        },
        "seed": cfg.seed,
        "tags": cfg.tags,
        "versions": {"python": python_version(), "hemexp": __version__, **{name: version(name) for name in packages}},
        "label_definition": cfg.label.describe(),
        "flow": _flow(data),
        "input_group": cfg.features.name
        if cfg.model.inputs is None
        else f"of the model: {', '.join(data.features) or 'none'}",
        "num_features": len(data.features),
        "num_train": len(parts["train"]),
        "num_val": len(data.split.indices("val")),
        "num_test": len(parts["test"]),
        "events_train": int(parts["train"].sum()),
        "events_test": int(parts["test"].sum()),
        "majority": int(parts["train"].mean() > 0.5),
        "best_possible_auroc": data.cohort.best_auroc_under(cfg.label),
    }


def _flow(data: ExpansionDataModule) -> dict[str, Any]:
    """Return how many patients there are, and what became of them."""
    unlabelled = data.labels.loc[data.labels["expansion"].isna(), "reason"].value_counts()
    counts = {part: len(data.split.indices(part)) for part in ("unused", "train", "val", "test")}
    return {
        "patients": len(data.labels),
        "unlabelled": {str(reason): int(count) for reason, count in unlabelled.items()},
        **counts,
    }


def get_training_outcome(fitted: FitResult) -> dict[str, Any]:
    """Return how the training went, for result.json."""
    return {
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "best_loss": fitted.best_loss,
        "stopped_by": fitted.stopped_by,
    }


def write_cohort(run: RunDirectory, data: ExpansionDataModule) -> None:
    """Leave who is in which part, what was noted in the files, and table one."""
    assert data.cohort is not None
    write_json(run.path / "splits.json", data.split.ids())
    write_csv(data.cohort.findings.frame(), run.path / "quality.csv")
    table = characteristics(data.cohort.patients, data.labels["expansion"], data.split.parts)
    write_csv(table, run.path / "characteristics.csv")
    keys = zip(patient_keys(data.cohort.patients), data.split.roles, strict=True)
    write_json(run.path / "fingerprint.json", {key: role for both, role in keys for key in both})


def log_start(cfg: TrainConfig, data: ExpansionDataModule, facts: dict[str, Any], resume: bool) -> None:
    """Say whom the run is about to learn from, and what."""
    source = "a synthetic cohort" if cfg.data.root is None else f"{cfg.data.root} ({cfg.data.kind})"
    counts = facts["data"]["findings"]
    log.info("expansion: %s; split: %s", cfg.label.describe(), cfg.split.describe())
    log.info(
        "%s: %d patients, %d inputs; train %d (%d events), test %d (%d events), unused %d, unlabelled %d",
        source,
        facts["data"]["num_patients"],
        facts["num_features"],
        facts["num_train"],
        facts["events_train"],
        facts["num_test"],
        facts["events_test"],
        len(data.split.indices("unused")),
        len(data.split.indices("unlabelled")),
    )
    if counts:
        log.info("%d data-quality warnings of %d kinds: prepare.py lists each cell", sum(counts.values()), len(counts))
    if resume:
        log.info("resuming from checkpoints/last.ckpt")


def print_end(result: dict[str, Any], run: RunDirectory) -> None:
    """Print the scores, and what a reader must know beside them."""
    notes = score_notes(result["metrics"], result["prevalence_baseline"])
    if result["best_possible_auroc"] is not None:
        notes.append(f"the best possible AUROC in this synthetic population is {result['best_possible_auroc']:.3f}")
    found = result.get("calibration") or {}
    stage, where = ("cv", "cross-validation") if found.get("cv") else ("test", "the test part")
    notes += calibration_notes(where, found.get(stage))
    notes += stability_notes(result)
    notes += caveat_notes(result["verdict"], result["caveats"])
    trained = "" if result["stopped_by"] == "fitted" else f"{result['epochs']} epochs, best {result['best_epoch']}; "
    notes.append(f"{trained}{result['seconds']:.0f} s in all")
    notes.append(f"files in {run.path}; report.py run_dir={run.path} writes a page of them")
    title = f"{result['verdict']}: {result['num_test']} test patients, {result['events_test']} with expansion"
    by_chance = {"test": auprc_by_chance(result["events_test"], result["num_test"])}
    if result.get("claim"):
        print_comparison(result["verdict"], result["comparison"], claim_notes(result["claim"]))
    print_tested(result["verdict"], result.get("comparison") or [])
    if folds := result.get("cross_validation"):
        title += f"; {folds['num_patients']} in cross-validation, {folds['events']} with expansion"
        by_chance["cv"] = folds["auprc_by_chance"]
    print_scores(title, result["metrics"], by_chance, notes)
