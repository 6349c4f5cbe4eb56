import numpy as np
import pandas as pd
import pytest
from drawing import LABELS, RISKS, drawn

from hemexp.data.features import GROUPS
from hemexp.figures import stability


def uncertain(num_patients=40, **changes):
    risk = RISKS[0][:num_patients]
    columns = {
        "patient_id": [f"sub{i:03d}" for i in range(num_patients)],
        "role": "test",
        "label": LABELS[:num_patients].astype(float),
        "probability": risk,
        "low": risk / 2,
        "high": (1 + risk) / 2,
        "abstains": np.arange(num_patients) % 4 == 0,
    }
    return pd.DataFrame(columns | changes)


def test_uncertainty_draws_the_test_part_alone_and_counts_abstentions():
    table = uncertain(role=["test"] * 30 + ["unlabelled"] * 10)
    assert "No decision for 8 of 30" in drawn(stability.uncertainty(table))


def test_every_dot_of_the_uncertainty_is_a_calibrated_risk_inside_its_bar():
    table = uncertain(label=np.nan, probability=0.99)
    figure = stability.uncertainty(table)
    bars = next(each for each in figure.axes[0].collections if hasattr(each, "get_segments"))
    dots = next(each for each in figure.axes[0].collections if len(each.get_offsets()) == 40)
    assert np.allclose(dots.get_offsets()[:, 1], np.sort(table["high"] / (1 - table["low"] + table["high"])))
    assert all(
        low <= dot <= high
        for (_, dot), ((_, low), (_, high)) in zip(dots.get_offsets(), bars.get_segments(), strict=True)
    )


@pytest.mark.parametrize("changes", [{"role": "unused"}, {"low": np.nan, "high": np.nan}, {"label": np.nan}])
@pytest.mark.parametrize("num_patients", [1, 8, 90])
def test_uncertainty_of_few_patients_of_many_and_of_unknown_outcomes(changes, num_patients):
    text = drawn(stability.uncertainty(uncertain(num_patients, **changes)))
    assert ("no test patients" in text) == ("role" in changes)
    assert ("outcome unknown" in text) == ("label" in changes)
    assert "sub0" not in text  # the figure is shown in the report, which names no patient


@pytest.mark.parametrize("chosen", [slice(0, 100), slice(20, 28)])
def test_the_instability_band_holds_95_percent_of_the_refits(chosen):
    risk = RISKS[0][chosen]
    offsets = np.linspace(-0.1, 0.1, 201)[:, None]
    figure = stability.instability(risk, risk + offsets, LABELS[chosen])
    drawn(figure)
    _, low, high, _ = figure.axes[0].lines
    assert np.allclose(high.get_ydata() - low.get_ydata(), 0.19)


def test_the_instability_of_a_constant_risk_has_a_band_too():
    refits = np.linspace(0.1, 0.3, 201)[:, None] * np.ones(100)
    figure = stability.instability(np.full(100, 0.2), refits, LABELS)
    drawn(figure)
    assert np.allclose(figure.axes[0].lines[1].get_ydata(), 0.105)


@pytest.mark.parametrize(("count", "bars"), [(72, 10), (2, 2), (0, 0)])
@pytest.mark.parametrize("low", [0.0, np.nan])
def test_attributions_draw_the_most_important_inputs(count, bars, low):
    table = pd.DataFrame({"feature": GROUPS["paper"][:count], "importance": np.linspace(0.2, -0.1, count)})
    figure = stability.attributions(table.assign(low=low, high=low, top10_share=0.5))
    text = drawn(figure)
    assert len(figure.axes[0].patches) == text.count("50 %") == bars
    assert ("no input" in text) == (bars == 0)
