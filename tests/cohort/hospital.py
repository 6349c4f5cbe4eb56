"""A small invented cohort, and the labels that any table of it must give."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.cohort.mapping.mapping import OpenQuestions
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config


def draw_scans(num_patients: int = 40, seed: int = 3) -> pd.DataFrame:
    """Return a row a scan, with the age, the pressures and the outcome of its patient."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, num_patients + 1):
        onset = pd.Timestamp("2031-01-01") + pd.Timedelta(minutes=int(rng.integers(0, 525_000)))
        gap, volume = round(float(rng.uniform(0.5, 8)), 2), round(float(np.exp(rng.normal(2.8, 0.6))), 1)
        grows = bool(rng.random() < 0.4)
        patient = {
            "patient": f"P{number:03d}", "onset": onset,
            "age": int(rng.integers(40, 90)), "sex": rng.choice(["M", "F"]),
            "sbp": int(rng.integers(120, 220)), "dbp": int(rng.integers(60, 110)), "htn": int(rng.random() < 0.7),
            "gcs": int(rng.integers(6, 16)), "grows": int(grows),
        }  # fmt: skip
        time = onset + pd.Timedelta(minutes=round(gap * 60))
        for scan in range(int(rng.integers(2, 4))):
            ml = volume if scan == 0 else round(volume + (9 if grows else 0.5), 1)
            rows.append({**patient, "scan": scan, "time": time, "ml": ml, "edema_ml": round(ml * 0.6, 1)})
            time += pd.Timedelta(minutes=int(rng.integers(6 * 60, 18 * 60)))
    return pd.DataFrame(rows)


def expected_labels(scans: pd.DataFrame) -> dict[str, float]:
    """Return 1 for a patient that grows by 6 mL or 33 % within 48 hours of onset, else 0; an oracle in plain Python."""
    labels = {}
    for patient, rows in scans.groupby("patient"):
        first = rows["ml"].iloc[0]
        later = rows.iloc[1:]
        hours = (later["time"] - later["onset"]).dt.total_seconds() / 3600
        growth = later["ml"] - first
        grown = (growth >= 6 - 1e-6) | (growth >= 0.33 * first - 1e-6)
        labels[str(patient)] = float((grown & (hours <= 48)).any())
    return labels


def load(root: Path, answers: Mapping[str, str] | None = None, work: Path | None = None) -> Cohort:
    """Load a cohort as prepare.py does; answer its questions, given by the column that they are about."""
    overrides = [f"data.root={root}"]
    for _ in range(2):
        data = load_config(TrainConfig, overrides).data
        try:
            return load_cohort(data)
        except OpenQuestions as error:
            for question in error.mapping.open_questions:
                question.answer = (answers or {})[question.column]
            path = (work or root.parent) / "mapping.yaml"
            path.write_text(error.mapping.to_yaml(), encoding="utf-8")
            overrides = [f"data.root={root}", f"data.mapping={path}"]
    raise AssertionError("the answers left questions open")


def labels_of(cohort: Cohort) -> dict[str, float]:
    """Return the label of each patient by the default definition."""
    table = label_patients(cohort.scans, load_config(TrainConfig, []).label)
    return dict(zip(table["patient_id"], table["expansion"], strict=True))
