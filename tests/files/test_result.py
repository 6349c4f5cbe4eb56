"""result.json: written and read back, damaged files, and the table of its fields."""

import importlib.util
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import pytest
from small import FAST, ROOT

from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import PredictConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.result import PredictionResult, RunResult, read_result, write_result, write_with_digest

REQUIRED = {"status", "conclusion", "verdict", "seconds", "metrics"}  # their default holds only until the run ends
WRONG = {"a text": 1, "a number": "many", "a list": {"a": 1}, "an object": [1]}


@pytest.fixture(scope="module")
def content(finished_run: Path) -> dict[str, Any]:
    return json.loads((finished_run / "result.json").read_text())


def read(path: Path, content: Any) -> RunResult:
    """Read a result.json: a text as it is, a changed content with the digest that fits it, for the other rules."""
    if isinstance(content, str):
        path.write_text(content)
    else:
        write_with_digest(content, path)
    return read_result(path, RunResult)


def leaves(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every value below dataclass fields, without the free content of `config`."""
    if place[:1] == ("config",) or not isinstance(node, dict | list) or not node:
        return [place]
    entries = node.items() if isinstance(node, dict) else list(enumerate(node))[:1]
    return [place, *(leaf for key, child in entries for leaf in leaves(child, (*place, key)))]


def test_a_result_is_read_back_as_it_was_written(content: dict[str, Any], tmp_path: Path):
    result = read(tmp_path / "a.json", json.dumps(content))
    write_result(result, tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text()) == content == asdict(result)


def test_a_changed_result_is_refused(content: dict[str, Any], tmp_path: Path):
    changed = [{"seed": 7}, {"num_test": content["num_test"] + 1}, {"conclusion": "not_evaluated"}, {"digest": None}]
    for changes in changed:
        with pytest.raises(UserError, match=r"result\.json: was changed after hemexp wrote it"):
            read(tmp_path / "result.json", json.dumps(content | changes))


def test_a_result_of_a_version_without_digests_is_read(content: dict[str, Any], tmp_path: Path):
    changes = {"seed": 7, "digest": None, "model_digest": None, "recognition_digest": None}
    assert read(tmp_path / "result.json", json.dumps(content | changes)).seed == 7


@pytest.mark.parametrize("field", fields(RunResult), ids=lambda field: field.name)
def test_a_missing_field_is_named_unless_it_is_optional(field: Any, content: dict[str, Any], tmp_path: Path):
    rest = {name: value for name, value in content.items() if name != field.name}
    optional = field.default is not MISSING or field.default_factory is not MISSING
    if field.name == "digest":
        with pytest.raises(UserError, match="was changed after"):
            read(tmp_path / "result.json", json.dumps(rest))
    elif optional and field.name not in REQUIRED | {"schema_version"}:
        assert not getattr(read(tmp_path / "result.json", rest), field.name)
    else:
        with pytest.raises(UserError, match=rf"result\.json: .*{field.name}"):
            read(tmp_path / "result.json", rest)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_value_of_another_type_is_named_at_every_depth(wrong: Any, content: dict[str, Any], tmp_path: Path):
    for place in leaves(content)[1:]:
        changed = deepcopy(content)
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        value = parent[place[-1]]
        same_type = type(value) is type(wrong) or (value is None and isinstance(wrong, int))
        if (
            same_type
            or (isinstance(value, float | int) and isinstance(wrong, int))
            or place[0] in {"schema_version", "digest"}
        ):
            continue
        if (
            value is None
            and place[-1] in {"root", "stopped_by", "pseudonym_key", "first_weights_digest"}
            and isinstance(wrong, str)
        ):
            continue
        parent[place[-1]] = wrong
        with pytest.raises(UserError, match=r"result\.json: ") as error:
            read(tmp_path / "result.json", changed)
        assert str(place[0]) in str(error.value), (place, str(error.value))


@pytest.mark.parametrize("place", [(), ("metrics", "cv/auroc"), ("flow",), ("comparison", 0), ("claim",)])
def test_a_field_that_does_not_exist_is_named(place: tuple[Any, ...], content: dict[str, Any], tmp_path: Path):
    changed = deepcopy(content)
    parent = changed
    for key in place:
        parent = parent[key]
    parent["mistake"] = 1
    with pytest.raises(UserError, match=r"result\.json: .*mistake: .*rule"):
        read(tmp_path / "result.json", changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "fine"), ("verdict", "HONEST"), ("conclusion", "excellent"), ("majority", 2), ("num_train", 0)],
)
def test_a_value_that_the_format_does_not_allow_is_named(
    name: str, value: Any, content: dict[str, Any], tmp_path: Path
):
    with pytest.raises(UserError, match=rf"result\.json: {name}: is {value!r}; rule: "):
        read(tmp_path / "result.json", content | {name: value})


@pytest.mark.parametrize(("name", "value"), [("num_test", 10**400), ("events_train", -1), ("seconds", "1 h")])
def test_an_impossible_number_is_named(name: str, value: Any, content: dict[str, Any], tmp_path: Path):
    with pytest.raises(UserError, match=rf"result\.json: {name}: Input should be .*rule: "):
        read(tmp_path / "result.json", content | {name: value})


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("model", "sacnn", "config.model: Input should be"),
        ("label", {"name": "a", "window_hours": [48]}, "config.label.window_hours: Input should be"),
        ("label", {"name": "a", "window_hours": -1}, "config.label.window_hours=-1.0: must be above 0"),
        ("features", {"name": "paper", "clip": 10**400}, "config.features.clip=inf: must be a finite number"),
        ("split", -1, "config.split: Input should be"),
        ("evaluation", {"name": "standard", "patients": 1}, "config.evaluation.patients: Input should be"),
    ],
)
def test_an_edited_configuration_is_named(
    section: str, value: Any, message: str, content: dict[str, Any], tmp_path: Path
):
    with pytest.raises(UserError, match=rf"result\.json: {message}"):
        read(tmp_path / "result.json", content | {"config": content["config"] | {section: value}})


def replace_loss(text: str, number: str) -> str:
    before, _, after = text.partition('"best_loss": ')
    return f'{before}"best_loss": {number}{after[after.index(",") :]}'


DAMAGES: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "cannot be read as JSON"),
    "truncated": (lambda text: text[:900], "cannot be read as JSON"),
    "a list": (lambda text: "[1]", "does not hold a JSON object"),
    "nested too deeply": (lambda text: "[" * 100_000, "cannot be read as JSON"),
    "NaN": (lambda text: replace_loss(text, "NaN"), "NaN is not a finite number"),
    "infinite": (lambda text: replace_loss(text, "1e999"), "1e999 is not a finite number"),
    "half a character": (lambda text: text.replace("onset", "\\ud800", 1), "result.json"),
    "of 0.1": (lambda text: text.replace('"schema_version": 1,', ""), "written by hemexp 0.1"),
    "of a later version": (lambda text: text.replace('"schema_version": 1,', '"schema_version": 2,'), "is 2"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_by_every_reader(name: str, finished_run: Path, workbooks: Path, tmp_path: Path):
    damage, message = DAMAGES[name]
    run = tmp_path / "run"
    run.mkdir()
    text = damage((finished_run / "result.json").read_text())
    (run / "result.json").write_text(text)
    (run / "DONE").touch()
    with pytest.raises(UserError, match=message):
        read_result(run / "result.json", RunResult)
    with pytest.raises(UserError, match=message):
        predict(load_config(PredictConfig, [f"run_dir={run}", f"data.root={workbooks}"]), tmp_path / "out")
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", *FAST])
    with pytest.raises(UserError, match=message):  # a finished run
        train(cfg, run)
    (run / "DONE").unlink()
    with pytest.raises(UserError, match=message):  # an unfinished run
        train(cfg, run)
    assert (run / "result.json").read_text() == text


@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_a_damaged_file_ends_a_command_with_exit_code_2_and_a_message(
    script: str, finished_run: Path, workbooks: Path, tmp_path: Path, run_command: Callable[..., Any]
):
    run = tmp_path / "run"
    run.mkdir()
    content = json.loads((finished_run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(content | {"num_train": "many"}))
    (run / "DONE").touch()
    options = [f"output_dir={run}"] if script == "train.py" else [f"run_dir={run}", "output_dir=out"]
    done = run_command(script, f"data.root={workbooks}", *options)
    assert done.returncode == 2, done.stderr
    assert "result.json: num_train: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_keeps_a_damaged_file_and_is_still_reported(
    finished_run: Path, workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def damage(*_: object) -> None:
        (tmp_path / "result.json").write_text("{")
        raise OSError("disk full")

    monkeypatch.setattr("hemexp.commands.train.evaluate", damage)
    with pytest.raises(OSError, match="disk full"):
        train(load_config(TrainConfig, [f"data.root={workbooks}", "model=hours", *FAST]), tmp_path)
    assert (tmp_path / "FAILED").read_text() == "OSError: disk full\n"
    assert (tmp_path / "result.json").read_text() == "{"


def test_a_prediction_is_read_back_with_the_conclusion_of_the_run(finished_run: Path, workbooks: Path, tmp_path: Path):
    result = predict(load_config(PredictConfig, [f"run_dir={finished_run}", f"data.root={workbooks}"]), tmp_path)
    assert read_result(tmp_path / "result.json", PredictionResult) == result
    assert result.conclusion == read_result(finished_run / "result.json", RunResult).conclusion


def test_the_documented_table_is_made_from_the_dataclasses():
    spec = importlib.util.spec_from_file_location("make_result_table", ROOT / "docs" / "make_result_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    message = "docs/result.md is out of date: run python docs/make_result_table.py"
    assert (ROOT / "docs" / "result.md").read_text(encoding="utf-8") == module.make_page(), message
