import numpy as np
import pytest
import torch
from fitted_models import build, patients

from hemexp.models.tabular import _draw_validation


def simulated(num, seed):
    raw, labels = patients(num, seed)
    return np.nan_to_num((raw - 50) / 7), labels


@pytest.mark.parametrize("name", ["tabm", "ft_transformer"])
def test_a_fit_disturbs_neither_torch_s_generator_nor_its_threads(name):
    X, y = simulated(40, 0)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    net = build(name, max_epochs=2).fit(X, y)
    net.restore(net.content()).predict_proba(X)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_part_cut_out_stops_the_training_and_chooses_the_weights():
    X, y = simulated(60, 0)
    noise = np.random.default_rng(0).permutation(y)
    epochs = []

    def net(patience):
        estimator = build("tabm", lr=0.01, max_epochs=60, patience=patience)
        forward = estimator._probabilities
        estimator._probabilities = lambda x: (epochs.append(0), forward(x))[1]
        return estimator.fit(X, noise)

    cut_out = _draw_validation(X, noise, 0.2, 0)
    patient = net(60)
    assert len(epochs) == 60
    epochs.clear()
    hasty = net(5)
    assert len(epochs) < 40
    losses = [-np.log(np.abs(1 - noise - each.risk(X)))[cut_out].mean() for each in (patient, hasty)]
    assert losses[0] <= losses[1] < 0.75  # not the last epoch's: by then it has overfitted


def test_the_members_of_tabm_are_averaged_as_probabilities():
    X, y = simulated(40, 0)
    net = build("tabm", max_epochs=5).fit(X, y)
    with torch.no_grad():
        logits = net.net(torch.tensor(X))[..., 0]
    assert logits.shape == (40, 32)
    np.testing.assert_allclose(net.risk(X), logits.sigmoid().mean(1).numpy(), atol=1e-12)


@pytest.mark.parametrize(("events", "cut_events"), [(1, 0), (2, 1), (3, 1), (20, 4)])
def test_either_outcome_is_cut_out_and_left_in(events, cut_events):
    y = (np.arange(100) < events).astype(int)
    X = np.arange(100.0)[:, None]
    cut_out = _draw_validation(X, y, 0.2, 0)
    assert y[cut_out].sum() == cut_events
    assert (1 - y)[cut_out].sum() == round(0.2 * (100 - events))
    assert (_draw_validation(X, y, 0.2, 1) != cut_out).any()


def test_a_patient_of_a_bootstrap_sample_is_never_on_both_sides():
    X, y = np.arange(40.0)[:, None], (np.arange(40) < 12).astype(int)
    drawn = np.random.default_rng(0).integers(40, size=40)
    cut_out = _draw_validation(X[drawn], y[drawn], 0.25, 0)
    assert 0 < cut_out.sum() < 40
    assert not set(drawn[cut_out]) & set(drawn[~cut_out])
