import numpy as np
import pytest
import torch
from fitted_models import build, patients

from hemexp.models.tabular import _draw_validation


def simulated(num, seed):
    raw, labels = patients(num, seed)
    return np.nan_to_num((raw - 50) / 7), labels


@pytest.mark.parametrize("name", ["tabm", "ft_transformer"])
def test_a_fit_restores_the_state_of_torchs_generator_and_threads(name):
    X, y = simulated(40, 0)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    net = build(name, max_epochs=2).fit(X, y)
    net.restore(net.content()).predict_proba(X)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_validation_part_stops_the_training_and_chooses_the_weights():
    X, y = simulated(60, 0)
    noise = np.random.default_rng(0).permutation(y)
    epochs = []

    def net(patience):
        estimator = build("tabm", lr=0.01, max_epochs=60, patience=patience)
        forward = estimator._probabilities
        estimator._probabilities = lambda x: (epochs.append(0), forward(x))[1]
        return estimator.fit(X, noise)

    in_val = _draw_validation(X, noise, 0.2, 0)
    slow = net(60)
    assert len(epochs) == 60
    epochs.clear()
    fast = net(5)
    assert len(epochs) < 40
    losses = [-np.log(np.abs(1 - noise - estimator.risk(X)))[in_val].mean() for estimator in (slow, fast)]
    assert losses[0] <= losses[1] < 0.75  # the weights are not from the last epoch, which has overfitted


def test_tabm_averages_the_probabilities_of_its_networks():
    X, y = simulated(40, 0)
    net = build("tabm", max_epochs=5).fit(X, y)
    with torch.no_grad():
        logits = net.net(torch.tensor(X))[..., 0]
    assert logits.shape == (40, 32)
    np.testing.assert_allclose(net.risk(X), logits.sigmoid().mean(1).numpy(), atol=1e-12)


@pytest.mark.parametrize(("events", "val_events"), [(1, 0), (2, 1), (3, 1), (20, 4)])
def test_both_outcomes_are_in_both_parts(events, val_events):
    y = (np.arange(100) < events).astype(int)
    X = np.arange(100.0)[:, None]
    in_val = _draw_validation(X, y, 0.2, 0)
    assert y[in_val].sum() == val_events
    assert (1 - y)[in_val].sum() == round(0.2 * (100 - events))
    assert (_draw_validation(X, y, 0.2, 1) != in_val).any()


def test_copies_of_a_patient_in_a_bootstrap_sample_go_to_the_same_part():
    X, y = np.arange(40.0)[:, None], (np.arange(40) < 12).astype(int)
    drawn = np.random.default_rng(0).integers(40, size=40)
    in_val = _draw_validation(X[drawn], y[drawn], 0.25, 0)
    assert 0 < in_val.sum() < 40
    assert not set(drawn[in_val]) & set(drawn[~in_val])
