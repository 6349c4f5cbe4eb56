"""Weights & Biases: what a run sends, what it does not send, and what a server costs that does not answer."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from small import FAST, ROOT

from hemexp.commands import train as job
from hemexp.commands.train import train
from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import Interrupted
from hemexp.files.result import NO_LEAKAGE

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed"),
    pytest.mark.slow,
]
_HEADER, _BLOCK, _ENDS = 7, 32768, (1, 4)  # LevelDB's log: bytes of a header and of a block; kinds that end a record


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")


def read_records(directory: Path) -> list[Any]:
    """Return the records of the only offline file of a run."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = (directory / "wandb").glob("offline-run-*/run-*.wandb")
    content, position, whole, records = file.read_bytes(), _HEADER, b"", []
    while position + _HEADER <= len(content):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        start = position + _HEADER
        end = start + int.from_bytes(content[position + 4 : position + 6], "little")
        whole += content[start:end]
        if content[position + 6] in _ENDS:
            records.append(Record.FromString(whole))
            whole = b""
        position = end
    return records


def read_curve(records: list[Any], name: str) -> dict[int, float]:
    """Return the values of a score by step."""
    return {
        record.history.step.num: json.loads(item.value_json)
        for record in records
        for item in record.history.item
        if [name] == list(item.nested_key) or name == item.key
    }


def read_updates(records: list[Any], kind: str) -> dict[str, Any]:
    """Return what the records of a kind (``config``, ``summary``) set."""
    return {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in records
        for item in (getattr(record, kind).update if record.WhichOneof("record_type") == kind else ())
    }


def list_services() -> list[str]:
    """Return current directory and command line of the processes that wandb has started."""
    services = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            services.append(f"{(path / 'cwd').readlink()} {(path / 'cmdline').read_text()}")
    return [service for service in services if "wandb-core" in service]


def test_the_offline_file_holds_a_resumed_run_once_and_no_name_of_machine_or_user(
    undrawn: None, workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "run_figures", lambda *_: {"loss": Figure()})
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "logger=wandb", "tags=[pilot,x]", *FAST])
    run = tmp_path / "sweep" / "3"
    with monkeypatch.context() as patched:
        patched.setattr(job, "evaluate", lambda *_: (_ for _ in ()).throw(Interrupted("stopped by the test")))
        with pytest.raises(Interrupted):
            train(cfg, run)
    (exit_code,) = (item.exit.exit_code for item in read_records(run) if item.WhichOneof("record_type") == "exit")
    assert exit_code == 1
    run_id = json.loads((run / "wandb.json").read_text())["run_id"]
    result = train(cfg, run)
    records = read_records(run)
    (begun,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (begun.run_id, begun.project, begun.display_name) == (run_id, "hemexp", "sweep/3")
    assert list(begun.tags) == ["pilot", "x"]
    history = pd.read_csv(run / "history.csv")
    losses = read_curve(records, "train/loss")
    assert list(losses) == [0, 1, 2]
    np.testing.assert_allclose(list(losses.values()), history["train/loss"])
    assert read_curve(records, "test/auroc") == {3: result.metrics["test/auroc"].value}
    config = read_updates(records, "config") | {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert config["config_hash"] == config_hash(cfg)
    assert config["optimizer.lr"] == 0.001
    assert read_updates(records, "summary")["verdict"] == NO_LEAKAGE
    assert [path.name[:5] for path in run.glob("wandb/*/files/media/images/visual/*.png")] == ["loss_"]
    assert not any(f"\0--pid\0{os.getpid()}" in service for service in list_services())
    sent = str(records) + "".join(str(path) for path in run.glob("wandb/*/files/**/*.txt"))
    for private in (socket.gethostname(), str(tmp_path), str(workbooks), sys.argv[0], str(Path.home())):
        assert f'"{private}' not in sent


@pytest.fixture(params=["refuses", "never answers"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that refuses connections, or accepts them and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "never answers":
            listener.listen(100)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_dead_server_costs_a_warning_and_the_run_is_written_to_files(
    server: str, workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server)
    command = [
        sys.executable, str(ROOT / "train.py"), f"data.root={workbooks}", "output_dir=a", "logger=[csv,wandb]", *FAST
    ]  # fmt: skip
    start = time.monotonic()
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        output = process.stderr.read()
    assert process.returncode == 0
    assert time.monotonic() - start < 180  # far less than wandb's own patience, on a busy machine, too
    assert output.count("logger=wandb: the run is only written to") == 1
    assert not [line for line in output.splitlines() if line.startswith("wandb:")]
    assert len(read_curve(read_records(tmp_path / "a"), "train/loss")) == 3
    assert not any(str(tmp_path) in service for service in list_services())
    assert "test/auroc" in (tmp_path / "a" / "csv" / "metrics.csv").read_text()


def test_without_an_api_key_the_run_is_written_to_files(
    undrawn: None, workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))  # its .netrc may hold a key
    train(load_config(TrainConfig, [f"data.root={workbooks}", "logger=wandb", *FAST]), tmp_path / "run")
    assert len(read_curve(read_records(tmp_path / "run"), "train/loss")) == 3


def test_the_jobs_of_a_sweep_have_their_own_runs(workbooks: Path, tmp_path: Path):
    sweep = tmp_path / "sweep"
    command = [
        sys.executable, str(ROOT / "train.py"), "-m", f"data.root={workbooks}", f"hydra.sweep.dir={sweep}", "seed=0,1",
        "logger=[csv,wandb]", *FAST,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "wandb" not in done.stderr.replace("logger=[csv,wandb]", "")
    for number in ("0", "1"):
        records = read_records(sweep / number)
        (begun,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
        assert begun.display_name == f"sweep/{number}"
        history = pd.read_csv(sweep / number / "history.csv")
        np.testing.assert_allclose(list(read_curve(records, "train/loss").values()), history["train/loss"])
        assert (sweep / number / "csv" / "metrics.csv").is_file()
    assert not any(str(tmp_path) in service for service in list_services())
