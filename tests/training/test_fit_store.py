"""Results of fits that were trained elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_loop import Make, equal

from hemexp.training import fit_store
from hemexp.training.fit import fit
from hemexp.training.fit_store import FitStore, fit_missing, write_fits


def test_a_stored_result_is_the_result_and_only_missing_members_are_trained(
    members: Make, trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    group, cfg = members(range(4)), trainer(max_epochs=5)
    results = fit(group, cfg)
    write_fits(tmp_path / "a.fits", group[:2], results[:2], cfg, 3.0)
    write_fits(tmp_path / "b.fits", group[2:3], results[2:3], cfg, 1.5)
    store = FitStore(tmp_path)
    assert store.seconds == 4.5
    trained: list[int] = []
    monkeypatch.setattr(fit_store, "fit", lambda missing, *_: trained.extend(m.seed for m in missing) or results[3:])
    found = fit_missing(group, cfg, store)
    assert trained == [3]
    assert all(equal(a, b) for a, b in zip(results, found, strict=True))


def test_a_result_is_not_used_for_another_member(members: Make, trainer: Callable, tmp_path: Path):
    (member,), cfg = members([0]), trainer(max_epochs=3)
    write_fits(tmp_path / "a.fits", [member], fit([member], cfg), cfg, 1.0)
    store = FitStore(tmp_path)
    assert store.get(member, cfg) is not None
    assert store.get(replace(member, keep_last=True), cfg) is not None
    inputs = member.training_set.inputs.copy()
    inputs[0, 0] += 1e-9
    changed = replace(member, training_set=replace(member.training_set, inputs=inputs))
    assert store.get(changed, cfg) is None
    assert store.get(replace(member, seed=1), cfg) is None
    assert store.get(member, trainer(max_epochs=4)) is None
    assert FitStore(tmp_path / "missing").get(member, cfg) is None


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "text", "cut"])
def test_a_damaged_file_is_set_aside_with_a_warning(
    content: bytes | None, members: Make, trainer: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (member,), cfg = members([0]), trainer(max_epochs=3)
    path = tmp_path / "a.fits"
    write_fits(path, [member], fit([member], cfg), cfg, 1.0)
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    assert FitStore(tmp_path).get(member, cfg) is None
    assert "its fits are trained again" in caplog.text
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_the_last_weights_are_kept_where_a_member_asks_for_them(members: Make, trainer: Callable):
    """The second member stops early, and its last weights are those of its own last epoch."""
    one, other = (replace(member, keep_last=True) for member in members(range(2)))
    cfg = trainer(max_epochs=30, stop_loss=0.6)
    together = fit([one, other], cfg)
    for member, result in zip((one, other), together, strict=True):
        (alone,) = fit([member], cfg)
        assert alone.last is not None
        assert result.last is not None
        for name, tensor in alone.last["state_dict"].items():
            assert tensor.equal(result.last["state_dict"][name]), name
    assert fit(members([0]), cfg)[0].last is None
