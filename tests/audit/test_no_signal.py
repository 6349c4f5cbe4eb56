"""Cohorts without signal: what can inflate does, and controls and other flaws do not."""

from pathlib import Path

import numpy as np
import pytest

from hemexp.audit.run import HONEST, Audit, Row, run_audit
from hemexp.commands.audit import MODELS, load_audit_data
from hemexp.config import AuditConfig
from hemexp.config.compose import load_config, load_protocols

NUM_COHORTS = 8
FEW = ["num_seeds=2", "trainer.max_epochs=60", "trainer.progress_bar=false", "data.num_unlabelled=0"]


def inflation(found: Audit, row: Row) -> float:
    """Return the inflation of the score that a protocol can inflate."""
    if row.protocol.choose != "threshold":  # the AUROC does not depend on it
        return found.inflation(row)
    honest = found.find(HONEST, row.model)
    assert honest
    return row.mean("accuracy") - honest.mean("accuracy")


@pytest.mark.slow
def test_without_signal_all_that_can_inflate_does_and_no_control_does(tmp_path: Path):
    found: dict[tuple[str, str, str], list[float]] = {}
    for seed in range(NUM_COHORTS):
        cfg = load_config(AuditConfig, ["data=synthetic", "data.signal=0", f"data.seed={seed}", *FEW])
        data, protocols = load_audit_data(cfg), list(load_protocols().values())
        models = [model for model in MODELS if model.name != "random_forest"]  # for time
        one = run_audit(data, protocols, models, cfg.trainer, cfg.num_seeds, tmp_path / str(seed))
        assert not one.skipped
        for row in one.rows:
            key = row.protocol.kind, row.protocol.name, row.model
            found.setdefault(key, []).append(inflation(one, row))
    lines = {
        key: f"mean {np.mean(values):.3f}, positive {np.sum(np.array(values) > 0)}" for key, values in found.items()
    }
    assert len({name for kind, name, _ in found if kind == "can inflate"}) == 17
    for key, values in found.items():
        mean, positive = np.mean(values), np.sum(np.array(values) > 0)
        if key[0] == "can inflate":
            assert mean > 0.03, lines
            assert positive >= NUM_COHORTS - 2, lines
        elif key[1] != HONEST:
            error = np.std(values, ddof=1) / np.sqrt(NUM_COHORTS)
            assert mean < max(0.02, 2.5 * error), lines
