"""A sweep directory with invented numbers, with every file that its page reads."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fake_run import result

GRID = {"model.kernel_size": ["3", "5", "7"], "model.num_heads": ["1", "2", "4"], "optimizer.lr": ["1e-3", "3e-4"]}
METRICS = {"auroc": (0.6, 0.02, 0.07), "brier": (0.19, 0.01, 0.02)}
IDS = ["sub001", "sub002", "3"]


def scored(value: float, half: float) -> dict[str, float]:
    return {"value": round(value, 4), "low": round(value - half, 4), "high": round(value + half, 4)}


def sweep_json(**changes: Any) -> dict[str, Any]:
    """Return sweep.json of a finished grid of 18 jobs, one of which failed."""
    return {
        "status": "failed",
        "command": ["train.py", "-m", "data.root=a cohort", "optimizer.lr=1e-3,3e-4"],
        "ranked_by": "cv/auroc",
        "lower_is_better": False,
        "search": {"name": "grid", "score": "auroc"},
        "where": {"name": "local"},
        "swept": GRID,
        "counts": {"done": 17, "failed": 1},
        "skipped": 2,
        "seconds": 61.5,
        "versions": {"hemexp": "0.2.0"},
        "winner": {"job": 4, "folder": "4", "num_jobs": 17, "score": scored(0.66, 0.07),
                   "conclusion": "not_better_than_baselines", "reevaluation": scored(0.621, 0.07), "fold_seed": 9},
        "nested": None,
    } | changes  # fmt: skip


def leaderboard(grid: dict[str, list[str]], lost: dict[int, tuple[str, str]], ranked_by: str | None) -> pd.DataFrame:
    """Return the table of a full grid; the numbers are drawn from a seed."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number, values in enumerate(itertools.product(*grid.values())):
        settings = dict(zip(grid, values, strict=True))
        status, message = lost.get(number, ("done", ""))
        row: dict[str, Any] = {
            "rank": None, "job": number, "folder": str(number), "status": status,
            "overrides": " ".join(f"{key}={value}" for key, value in settings.items()), **settings,
            "score": None, "score_low": None, "score_high": None,
        }  # fmt: skip
        for stage, (name, (middle, spread, half)) in itertools.product(("cv", "test"), METRICS.items()):
            made = scored(middle + spread * rng.normal(), half * (1 if stage == "cv" else 2))
            for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                row[f"{stage}/{name}{end}"] = made[key] if status == "done" else None
        if status == "done" and ranked_by:
            row |= {f"score{end}": row[f"{ranked_by}{end}"] for end in ("", "_low", "_high")}
        row |= {"best_loss": 0.4, "epochs": 30, "seconds": 3.25 if status == "done" else None, "device": "cpu 0",
                "config_hash": f"{number:016x}", "tags": "", "message": message}  # fmt: skip
        rows.append(row)
    table = pd.DataFrame(rows).sort_values("score", ascending=ranked_by == "cv/brier", na_position="last")
    table["rank"] = [place + 1 if score == score else None for place, score in enumerate(table["score"].astype(float))]
    return table


def write_sweep(
    path: Path,
    grid: dict[str, list[str]] | None = None,
    lost: dict[int, tuple[str, str]] | None = None,
    ranked_by: str | None = "cv/auroc",
    patients: str = "labelled",
    caveats: tuple[str, ...] = ("synthetic_cohort",),
    **changes: Any,
) -> Path:
    """Write a sweep; `lost` is the status and message of jobs without a result, `changes` are of sweep.json."""
    grid = GRID if grid is None else grid
    lost = {7: ("failed", "sheet 1, row 9: sub001 and 20310101000000")} if lost is None else lost
    table = leaderboard(grid, lost, ranked_by)
    path.mkdir(parents=True)
    table.to_csv(path / "leaderboard.csv", index=False)
    content = sweep_json(swept=grid, ranked_by=ranked_by, lower_is_better=ranked_by == "cv/brier", **changes)
    (path / "sweep.json").write_text(json.dumps(content), encoding="utf-8")
    times = pd.DataFrame({"task": "job", "jobs": table["job"], "device": [f"cpu {i % 2}" for i in range(len(table))]})
    times = times.assign(started=1e9 + times.index // 2 * 3.0, ended=1e9 + times.index // 2 * 3.0 + 3,
                         outcome=table["status"])  # fmt: skip
    times.to_csv(path / "timeline.csv", index=False)
    for _, job in table[table["status"] == "done"].iterrows():
        folder = path / job["folder"]
        (folder / ".hydra").mkdir(parents=True)
        config = {"evaluation": {"name": "standard", "patients": patients}} if patients else {}
        job_result = result() | {"caveats": list(caveats), "config": config}
        (folder / "result.json").write_text(json.dumps(job_result), encoding="utf-8")
        (folder / "splits.json").write_text(json.dumps({"train": IDS}), encoding="utf-8")
        (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(job["overrides"].split()), encoding="utf-8")
    return path
