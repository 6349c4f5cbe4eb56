"""A run directory with invented numbers, with every file that the page reads."""

import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hemexp.cohort import columns as c
from hemexp.cohort.table_one import characteristics
from hemexp.files.result import RunResult, check_result, write_result

IDS = [f"sub{i:03d}" for i in range(1, 161)]
ROLES = ["train"] * 60 + ["test"] * 40 + ["unused"] * 30 + ["unlabelled"] * 30
FIGURES = ["loss", "roc", "comparison", "calibration", "decision_curve", "uncertainty", "subgroups", "instability",
           "attributions"]  # fmt: skip
BASELINES = ["prevalence", "volume", "hours", "brain", "ridge2"]
FULL = ("optimism", "instability", "label_sensitivity", "attributions")


def score(value: float, half: float) -> dict[str, float | None]:
    return {"value": value, "low": value - half, "high": value + half}


def patients(rng: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame({name: rng.integers(0, 2, len(IDS)).astype(float) for name in [*c.HISTORY, *c.TREATMENTS]})
    return table.assign(
        patient_id=IDS,
        age=rng.normal(62, 11, len(IDS)).round(),
        sex=rng.integers(1, 3, len(IDS)).astype(float),
        mrs_before=0.0,
        systolic=rng.normal(165, 20, len(IDS)).round(),
        diastolic=rng.normal(95, 12, len(IDS)).round(),
        onset_to_first_scan=rng.gamma(2, 2, len(IDS)),
        HM_volume=rng.lognormal(10, 0.8, len(IDS)),
        ED_volume=rng.lognormal(9, 0.8, len(IDS)),
    )


def _comparison() -> list[dict[str, Any]]:
    rows = []
    for i, name in enumerate(["sacnn", *BASELINES]):
        flat = name == "prevalence"
        auroc, brier = (0.5 if flat else 0.55 + 0.01 * i), 0.21 - 0.006 * i * (not flat) - 0.033 * flat
        rows.append({
            "model": name, "is_model": i == 0, "auroc": score(auroc, 0.0 if flat else 0.08), "auprc": score(0.28, 0.07),
            "brier": score(brier, 0.02), "log_loss": score(0.62, 0.05),
            "auroc_difference": None if i == 0 else score(0.55 - auroc, 0.09) | {"p": 0.4, "p_holm": 1.0},
            "brier_difference": None if i == 0 else score(0.21 - brier, 0.02) | {"p": 0.0004, "p_holm": 0.002},
            "test_auroc": score(auroc, 0.2),
            "test_auroc_difference": None if i == 0 else score(0.55 - auroc, 0.2) | {"p": 0.9, "p_holm": 1.0},
        })  # fmt: skip
    return rows


def _optimism(apparent: float | None, optimism: float) -> dict[str, float | None]:
    corrected = None if apparent is None else apparent - optimism
    return {"apparent": apparent, "optimism": optimism, "corrected": corrected, "out_of_bag": 0.5}


def result() -> dict[str, Any]:
    """Return result.json of a finished run with evaluation=full."""
    empty = {"value": None, "low": None, "high": None}
    metrics = {f"{stage}/{name}": score(value, 0.06) for stage in ("test", "cv")
               for name, value in {"accuracy": 0.68, "majority_accuracy": 0.725, "auroc": 0.55, "auprc": 0.31,
                                   "brier": 0.21, "log_loss": 0.62}.items()}  # fmt: skip
    calibration = {"intercept": score(-0.4, 0.5), "slope": score(0.2, 0.3), "scaled_brier": score(-0.18, 0.1),
                   "mean_risk": 0.29, "observed": 0.23}  # fmt: skip
    rates = {"sensitivity": score(0.45, 0.25), "specificity": score(0.76, 0.15), "ppv": score(0.42, 0.24), "npv": empty}
    groups = ["sex: male", "sex: female", "age: < 65 years", "age: >= 65 years", "volume: < 30 mL", "volume: >= 30 mL"]
    labels = [("onset_48h", "growth by at least 6 mL or 33 % within 48 h of onset", 23),
              ("baseline_48h", "growth by at least 6 mL or 33 % within 48 h of the first scan", 25),
              ("absolute_12_5ml", "growth by at least 12.5 mL within 48 h of onset", 9)]  # fmt: skip
    return {
        "schema_version": 1, "status": "done", "conclusion": "worse_than_baseline",
        "verdict": "NO_LEAKAGE_FOUND", "caveats": ["treatments_after_first_scan", "few_events_per_input"],
        "config_hash": "6bf3972797a86733", "data_hash": "e07b56286abac9ec", "seed": 0, "seconds": 412.7,
        "data": {"kind": "workbook", "root": "cohort", "num_patients": 160, "findings": {"no_followup": 30}},
        "versions": {"python": "3.11.7", "hemexp": "0.2.0", "torch": "2.13.0", "pandas": "3.1.1"},
        "num_features": 72, "tags": [], "epochs": 101, "best_epoch": 100, "best_loss": 0.001, "stopped_by": "stop_loss",
        "best_possible_auroc": None, "input_group": "paper",
        "num_train": 60, "num_val": 0, "num_test": 40, "events_train": 12, "events_test": 11,
        "majority": 0, "prevalence_baseline": {"brier": 0.205, "log_loss": 0.6}, "metrics": metrics,
        "config": {
            "label": {"name": "onset_48h", "absolute_ml": 6.0, "relative": 0.33, "window_hours": 48.0, "clock": "onset",
                      "inclusive": True, "no_scan_in_window": "negative"},
            "features": {"name": "paper", "clip": 10.0}, "split": {"name": "paper", "val_fraction": 0.0},
            "model": {"name": "sacnn", "kernel_size": 3, "num_heads": 2, "embed_dim": 16, "dropout": 0.0}},
        "flow": {"patients": 160, "unlabelled": {"no_followup": 30, "no_scan_in_window": 0},
                 "unused": 30, "train": 60, "val": 0, "test": 40},
        "label_definition": "growth by at least 6 mL or 33 % within 48 h of onset",
        "cross_validation": {"patients": "labelled", "num_diverged": 0, "auprc_by_chance": 0.27,
                             "num_folds": 5, "num_repeats": 20, "num_fits": 100, "num_patients": 100, "events": 23},
        "comparison": _comparison(),
        "claim": {"auroc": "not better than baseline", "brier": "worse than baseline",
                  "worse_than": {"auroc": [], "brier": ["prevalence", "ridge2"]},
                  "worse_before_holm": {"auroc": [], "brier": ["prevalence", "ridge2"]}},
        "calibration": {"cv": calibration, "test": calibration},
        "thresholds": [{"rule": rule, "threshold": at, "flagged": 12, "num_patients": 40, **rates}
                       for rule, at in (("fixed 0.5", 0.5), ("youden", 0.31), ("sensitivity 0.9", 0.08))],
        "subgroups": [{"subgroup": name, "num_patients": 50, "events": 12 - 2 * i, "mean_risk": 0.28, "observed": 0.24,
                       "auroc": score(0.55, 0.17) if i < 2 else empty, "note": "" if i < 2 else "too few"}
                      for i, name in enumerate(groups)],
        "sample_size": {"num_patients": 60, "events": 12, "num_parameters": 72, "events_per_parameter": 12 / 72,
                        "required_patients": 6612, "required_events": 1323, "expected_shrinkage": 0.09,
                        "criteria": {"shrinkage": 6612, "optimism": 2711, "overall_risk": 246}, "adequate": False},
        "uncertainty": {"num_patients": 40, "num_abstained": 31, "median_width": 0.33,
                        "threshold": 0.31, "calibrated_threshold": 0.35,
                        "coverage_note": "Venn-Abers: one of the two ends is a calibrated risk"},
        "optimism": {"num_refits": 200, "note": "", "auroc": _optimism(1.0, 0.42), "brier": _optimism(0.004, -0.2),
                     "calibration_slope": _optimism(None, 0.7)},
        "instability": {"num_refits": 200, "threshold": 0.31, "mean_absolute_difference": 0.19,
                        "median_interval_width": 0.71,
                        "classification_instability": 0.22},
        "label_sensitivity": [{"label": name, "definition": words, "num_patients": 100, "events": events,
                               "auroc": score(0.55, 0.08) if events > 9 else empty,
                               "ridge2_auroc": score(0.6, 0.08) if events > 9 else empty,
                               "is_run_label": name == "onset_48h", "note": "" if events > 9 else "too few"}
                              for name, words, events in labels],
        "attributions": {"method": "loss of AUROC when the input is shuffled", "rank_correlation": 0.11,
                         "num_fits": 100, "top": ["HM_volume", "age"], "clear": []},
    }  # fmt: skip


@cache
def _picture() -> bytes:
    """Return a PNG with a patient id in a text chunk."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    figure.add_subplot().set(title="a figure", xlabel="x", ylabel="y")
    figure.savefig(content := BytesIO(), format="png", dpi=50, metadata={"Comment": IDS[0]})
    assert IDS[0].encode() in content.getvalue()
    return content.getvalue()


def write_run(path: Path, changes: dict[str, Any] | None = None) -> Path:
    """Write a run directory; `changes` are fields of result.json, None for a field without a value."""
    rng = np.random.default_rng(0)
    (path / "figures").mkdir(parents=True)
    (path / ".hydra").mkdir()
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    content = result() | (changes or {})
    content = {key: value for key, value in content.items() if value is not None} | {
        "metrics": content["metrics"] or {}
    }
    write_result(check_result(content, path / "result.json", RunResult), path / "result.json")
    if content["status"] == "done":
        (path / "DONE").write_text("NO_LEAKAGE_FOUND\n", encoding="utf-8")
    (path / ".hydra" / "overrides.yaml").write_text(
        "- data.root=cohort\n- evaluation=full\n- label=onset_48h\n", encoding="utf-8"
    )
    labels = pd.Series(rng.integers(0, 2, len(IDS)).astype(float)).where(np.array(ROLES) != "unlabelled")
    predictions = pd.DataFrame(
        {"patient_id": IDS, "role": ROLES, "label": labels, "probability": rng.uniform(0, 1, 160)}
    )
    low, high = (predictions["probability"] - 0.15).clip(0), (predictions["probability"] + 0.2).clip(upper=1)
    parts = {part: [name for name, role in zip(IDS, ROLES, strict=True) if role == part] for part in set(ROLES)}
    (path / "splits.json").write_text(json.dumps(parts), encoding="utf-8")
    kinds = ["no_followup"] * 30 + ["ratio_sum"] * 64 + ["first_serial_conflict"] * 3
    quality = pd.DataFrame({"severity": "warning", "problem": kinds, "file": "表1-患者.xlsx", "sheet": "Sheet1",
                            "row": range(2, 99), "column": "D", "patient_id": IDS[:97], "value": "20310101000000",
                            "message": [f"{name}: what is wrong" for name in IDS[:97]]})  # fmt: skip
    at = np.arange(1, 61) / 100
    strategies = {
        "sacnn": 0.15 - 0.4 * at,
        "ridge2": 0.17 - 0.4 * at,
        "treat all": (0.23 - at) / (1 - at),
        "treat none": 0 * at,
    }
    curve = pd.concat([pd.DataFrame({"strategy": k, "threshold": at, "net_benefit": v}) for k, v in strategies.items()])
    attributions = pd.DataFrame({"feature": [*c.VOLUMES, *c.CLINICAL], "importance": np.linspace(0.02, 0, 21)})
    attributions = attributions.assign(low=-0.02, high=0.05, top10_share=0.2)
    tables = {
        "predictions": predictions,
        "uncertainty": predictions.assign(low=low, high=high, abstains=True).query("role != 'train'"),
        "quality": quality,
        "characteristics": characteristics(patients(rng), labels, ROLES),
        "decision_curve": curve,
        "attributions": attributions,
    }
    for name, table in tables.items():
        table.to_csv(path / f"{name}.csv", index=False)
    for name in FIGURES:
        (path / "figures" / f"{name}.png").write_bytes(_picture())
    return path
