"""Jobs of one process share the texts of equal files, and the graph of networks of one shape."""

from pathlib import Path

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hemexp.commands import run_metadata
from hemexp.commands.log_result import log_graph
from hemexp.commands.run_metadata import write_cohort
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.files.run_directory import RunDirectory
from hemexp.models.network import FittedNetwork

RUNS = (["seed=0"], ["seed=1"], ["seed=1"], ["label=absolute_3ml", "seed=1"], ["data.seed=1", "seed=1"])


def test_each_run_has_the_files_of_its_own_cohort_outcome_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[list[dict[str, str]]] = []
    for share in (True, False):
        written.append([])
        for number, overrides in enumerate(RUNS):
            data = ExpansionDataModule.from_config(
                load_config(TrainConfig, ["data.num_patients=60", "split=stratified", *overrides])
            )
            data.setup()
            run = RunDirectory(tmp_path / str(share) / str(number))
            if not share:
                monkeypatch.setattr(run_metadata, "_last_texts", [])
            write_cohort(run, data.cohort, data.labels["expansion"], data.split, data.learned_roles)
            written[-1].append({path.name: path.read_text() for path in run.path.iterdir()})
    shared, alone = written
    assert shared == alone
    assert set(shared[0]) == {"splits.json", "quality.csv", "characteristics.csv", "recognition.csv", "mapping.yaml"}
    assert shared[1] == shared[2]
    for one, other in ((0, 1), (2, 3), (2, 4)):
        assert shared[one] != shared[other]


def test_every_run_logs_the_graph_of_its_own_network(tmp_path: Path):
    sizes = []
    for number, (name, num_inputs) in enumerate((("mlp", 3), ("mlp", 3), ("mlp", 4), ("cnn", 4))):
        settings = vars(load_config(TrainConfig, [f"model={name}"]).model)
        net = FittedNetwork(settings, [f"x{index}" for index in range(num_inputs)], {})
        logger = TensorBoardLogger(tmp_path, name="", version=str(number))
        log_graph(logger, net)
        logger.finalize("success")
        events = EventAccumulator(str(tmp_path / str(number))).Reload()
        graph = events.Graph()
        inputs = next(node for node in graph.node if node.op == "IO Node" and node.name.startswith("input"))
        sizes.append((inputs.attr["_output_shapes"].list.shape[0].dim[1].size, len(graph.node)))
    assert [size for size, _ in sizes] == [3, 3, 4, 4]
    assert sizes[0] == sizes[1]
    assert sizes[3][1] != sizes[2][1]
