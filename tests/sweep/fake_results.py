"""Results of jobs that were not run."""

from typing import Any

from hemexp.files.result import RESULT, DataSource, PatientFlow, RunResult, Score, write_result
from hemexp.sweep.plan.job import SweepJob

NO_LEAKAGE_FOUND = "NO_LEAKAGE_FOUND"


def write_fake_result(job: SweepJob, **changes: Any) -> None:
    """Write the result.json of a finished job; `changes` are fields of `RunResult`."""
    result = RunResult(
        status="done",
        verdict=NO_LEAKAGE_FOUND,
        caveats=[],
        config_hash=job.config_hash,
        data_hash="0" * 16,
        seed=job.cfg.seed,
        tags=[],
        versions={"torch": "2.0"},
        num_train=80,
        num_val=0,
        num_test=20,
        events_train=20,
        events_test=5,
        majority=0,
        label_definition="expansion within 48 hours",
        input_group="paper",
        num_features=72,
        flow=PatientFlow(patients=100, unlabelled={}, unused=0, train=80, val=0, test=20),
        data=DataSource(kind="synthetic", root=None, num_patients=100, findings={}),
        config={},
    )
    for name, value in changes.items():
        assert hasattr(result, name), name
        setattr(result, name, value)
    write_result(result, job.directory / RESULT)


def build_score(value: float, half: float = 0.1) -> Score:
    return Score(value=value, low=value - half, high=value + half)
