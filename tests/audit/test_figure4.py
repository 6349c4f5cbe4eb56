"""The fits beside the loss curve in figure 4 of the paper."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemexp.audit import figure4
from hemexp.audit.run import COLUMNS
from hemexp.commands.audit import audit
from hemexp.config import AuditConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError


def run(directory: Path, *overrides: str) -> pd.DataFrame:
    audit(load_config(AuditConfig, ["only=figure4", "trainer.progress_bar=false", *overrides]), directory)
    return pd.read_csv(directory / figure4.FITS).set_index("setting")


def test_fits_are_told_beside_the_printed_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chosen = [each for each in figure4.SETTINGS if each.name in {"the paper's settings", "all weights start at 0"}]
    monkeypatch.setattr(figure4, "SETTINGS", chosen)
    for epoch in (600, 1000):  # fewer epochs, for time
        monkeypatch.setitem(figure4.PRINTED, epoch // 10, figure4.PRINTED[epoch])
        monkeypatch.delitem(figure4.PRINTED, epoch)
    monkeypatch.setattr(figure4, "WITHIN", 5.0)  # weights at 0 end at a loss of about 0.6
    fits = run(tmp_path, "data=synthetic", "data.num_patients=60")
    assert fits.loc["the paper's settings", "loss_100"] < 0.03
    assert list(fits["follows"]) == [False, True]
    assert fits["accuracy_honest"].notna().tolist() == [False, True]  # fitted to 60 % only where it follows
    curves = pd.read_csv(tmp_path / figure4.CURVES)
    zeros = curves[curves["setting"] == "all weights start at 0"]
    assert zeros["epoch"].max() == 90
    assert set(zeros["seed"]) == {0, 1, 2}
    share = zeros.loc[zeros["epoch"] == zeros["epoch"].max(), "loss"].to_numpy()
    assert np.allclose(share, share[0], atol=0.01)  # one constant, whatever the seed
    page, text = (tmp_path / "audit.html").read_text(), (tmp_path / "audit.md").read_text()
    for words in ("all weights start at 0", "printed in the paper", "0.15", "sufficient explanation"):
        assert words in page
        assert words in text
    assert list(pd.read_csv(tmp_path / "audit.csv")) == COLUMNS  # without a row
    with pytest.raises(UserError, match="another cohort or other settings"):
        run(tmp_path, "data=synthetic", "data.num_patients=61")
    before = (tmp_path / figure4.FITS).stat().st_mtime_ns
    run(tmp_path, "data=synthetic", "data.num_patients=60")
    assert (tmp_path / figure4.FITS).stat().st_mtime_ns == before  # nothing was fitted again
    (tmp_path / figure4.FITS).write_text("setting,follows\n")
    assert run(tmp_path, "data=synthetic", "data.num_patients=60").equals(fits)  # made again


@pytest.mark.slow
def test_on_the_real_cohort_some_settings_follow_the_curve_and_score_as_the_claim(real_cohort: Path, tmp_path: Path):
    fits = run(tmp_path, f"data.root={real_cohort}")
    assert fits.loc["the paper's settings", "loss_600"] < 0.01
    assert not fits.loc["the paper's settings", "follows"]
    follows = fits[fits["follows"]]
    assert 0 < len(follows) < len(fits)
    assert follows["accuracy"].min() > 0.9  # trained on all patients
    assert follows["accuracy_honest"].max() < 0.8  # trained on the first 60 %
