"""Files are complete or absent, and what an interrupted run left does not stop the next start."""

import errno
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.result import DataSource, PatientFlow, RunResult
from hemexp.files.run_directory import CONFIG_HASH, OutputDirectory, RunDirectory
from hemexp.files.writing import is_partial, write_bytes, write_text

CFG = load_config(TrainConfig, [])
RESULT = RunResult(
    config=asdict(CFG),
    config_hash=config_hash(CFG),
    data_hash="0",
    data=DataSource(kind="synthetic", root=None, num_patients=9, findings={}),
    flow=PatientFlow(patients=9, unlabelled={}, unused=0, train=6, val=0, test=3),
    **dict.fromkeys(("seed", "num_features", "num_train", "num_val", "num_test", "events_train", "events_test"), 1),
    **dict.fromkeys(("label_definition", "input_group"), ""),
    majority=0,
    versions={},
    caveats=[],
    tags=[],
)


def fill_up(descriptor: int) -> None:
    """Fail as on a disk that reports only at the end that it is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_cannot_be_written_keeps_its_old_content_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "folder" / "result.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(OSError, match=r"No space left on device: '.*result\.json'"):
        write_text(path, "new")
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]
    assert path.read_text() == "old"


def test_a_file_is_renamed_within_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    renamed: list[tuple[Path, Path]] = []
    monkeypatch.setattr(os, "replace", lambda old, new: renamed.append((Path(old), Path(new))))
    write_bytes(tmp_path / "model.ckpt", b"1")
    ((old, new),) = renamed
    assert (new, old.parent) == (tmp_path / "model.ckpt", tmp_path)
    assert is_partial(old.name)


def test_names_in_another_encoding_are_written_as_their_bytes(tmp_path: Path):
    write_text(tmp_path / "a", "表".encode().decode("ascii", errors="surrogateescape"))
    assert (tmp_path / "a").read_text(encoding="utf-8") == "表"


def test_what_a_killed_process_was_writing_is_removed_by_the_next_start(tmp_path: Path):
    (tmp_path / ".result.json.partial").write_text("half")
    run = RunDirectory(tmp_path)
    assert run.open(CFG) == "new"
    run.release()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".scans.csv.partial").write_text("half")
    output = OutputDirectory(tmp_path)
    output.open_for("prepare")
    output.release()
    assert list(tmp_path.iterdir()) == []


def write_run(directory: Path, cut: int | None) -> None:
    """Write a run that has begun, with its result.json cut to this length."""
    run = RunDirectory(directory)
    run.open(CFG)
    run.begin(RESULT, resume=False)
    run.release()
    content = (directory / "result.json").read_bytes()
    (directory / "result.json").write_bytes(content[:cut])


@pytest.mark.parametrize("cut", [0, 1, 500, -2])
def test_a_result_that_was_cut_is_set_aside_where_the_configuration_is_the_same(cut: int, tmp_path: Path):
    write_run(tmp_path, cut)
    run = RunDirectory(tmp_path)
    assert run.open(CFG) == "new"
    run.release()
    assert (tmp_path / "result.json.unreadable").is_file()
    assert not (tmp_path / "result.json").exists()


def test_a_result_of_another_version_is_refused_and_stays(tmp_path: Path):
    write_run(tmp_path, 10**6)
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(UserError, match="use the version that wrote the file"):
        RunDirectory(tmp_path).open(CFG)
    assert path.is_file()


def test_a_result_that_was_cut_is_refused_where_the_run_is_another_or_has_ended(tmp_path: Path):
    write_run(tmp_path, 500)
    with pytest.raises(UserError, match="cannot be read as JSON"):
        RunDirectory(tmp_path).open(replace(CFG, seed=1))
    (tmp_path / "DONE").touch()
    with pytest.raises(UserError, match="cannot be read as JSON"):
        RunDirectory(tmp_path).open(CFG)
    assert (tmp_path / CONFIG_HASH).is_file()


def test_a_run_whose_directory_was_removed_does_not_end_as_done(tmp_path: Path):
    run = RunDirectory(tmp_path / "run")
    run.open(CFG)
    run.begin(RESULT, resume=False)
    for path in sorted((tmp_path / "run").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError):
        run.finish(RESULT)
    run.fail("failed", "removed")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_failure_on_a_full_disk_does_not_hide_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = RunDirectory(tmp_path)
    run.open(CFG)
    monkeypatch.setattr(os, "fsync", fill_up)
    run.fail("failed", "the reason")
    assert list(tmp_path.iterdir()) == []  # also unlocked
