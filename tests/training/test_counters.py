"""Random numbers from keys and counters, and the first weights of many members."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from test_loop import Make

from hemexp.training.counters import BITS, build_keys, derive_keys, draw
from hemexp.training.task import ExpansionTask, GroupBatches


def finalize(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def test_the_numbers_are_those_of_splitmix64():
    """The first numbers of the published generator with seed 1234567, and a stream computed with NumPy."""
    key = torch.tensor([1234567])
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert draw(key, 4)[0].tolist() == [number >> 11 for number in published]
    gamma = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        base = np.random.SeedSequence(3).generate_state(1, np.uint64)
        derived = finalize(base ^ finalize(np.uint64(8) * gamma[None]))
        expected = finalize(derived + np.arange(1, 100, dtype=np.uint64) * gamma) >> np.uint64(64 - BITS)
    numbers = draw(derive_keys(build_keys([5, 3]), 7), 99)[1]
    assert numbers.tolist() == expected.astype(np.int64).tolist()


def test_members_and_epochs_have_independent_uniform_numbers():
    keys = build_keys(range(4))
    uniform = torch.cat([draw(derive_keys(keys, epoch), 20_000) for epoch in range(3)]).double().numpy() / 2**BITS
    assert np.abs(uniform.mean(axis=1) - 0.5).max() < 0.01
    assert np.abs(uniform.var(axis=1) - 1 / 12).max() < 0.003
    correlations = np.corrcoef(uniform)
    assert np.abs(correlations - np.eye(12)).max() < 0.03
    assert chisquare(np.histogram(uniform, 64, range=(0, 1))[0]).pvalue > 0.001


def test_dropout_has_its_rate_and_does_not_depend_on_padding_steps_or_other_members(members: Make, trainer: Callable):
    task = ExpansionTask(members(range(3), "model.dropout=0.3"), trainer())
    factors = task._draw_dropout(4, 48)
    assert factors.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float((factors == 0).double().mean()) == pytest.approx(0.3, abs=0.05)
    assert task._draw_dropout(4, 32).equal(factors[:, :32])
    assert task._draw_dropout(4, 16, 32).equal(factors[:, 32:])
    assert not task._draw_dropout(5, 48).equal(factors)
    alone = ExpansionTask(members([1], "model.dropout=0.3"), trainer())
    assert alone._draw_dropout(4, 48).equal(factors[1:2])


def test_every_epoch_has_another_order_of_all_patients(members: Make, trainer: Callable):
    task = ExpansionTask(members(range(2)), trainer(batch_size=7))
    (batch,) = GroupBatches(task)
    labels = batch["train"].inputs[..., 0]
    seen = []
    for epoch in range(2):
        steps = list(task._steps(epoch, batch["train"], None))
        values = torch.cat([step.inputs[..., 0][:, : int(step.num_real[0])] for step, *_ in steps], dim=1)
        assert values.sort(dim=1).values.equal(labels[:, : values.shape[1]].sort(dim=1).values)
        assert sum(share for _, _, share, _ in steps) == pytest.approx(1.0)
        seen.append(values)
    assert not seen[0].equal(seen[1])
    assert not seen[0][0].equal(seen[0][1])
