"""Run flawed protocols beside the honest one, and write a table, a text and a page about them."""

import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import torch

from hemexp.audit.figure4 import CURVES, FITS, NAME, Figure4, fit_figure4
from hemexp.audit.predictions import read_predictions
from hemexp.audit.published import Published, score_table
from hemexp.audit.run import SCORES, Audit, run_audit
from hemexp.audit.table import AuditData, build_audit_data
from hemexp.cohort.load import load_cohort
from hemexp.config import (
    AuditConfig,
    ForestConfig,
    GrowthLabelConfig,
    LogisticConfig,
    ModelConfig,
    NetConfig,
    ProtocolConfig,
    SACNNConfig,
    SyntheticDataConfig,
    hashed_values,
)
from hemexp.config.compose import load_protocols
from hemexp.errors import UserError
from hemexp.files.result import load_json
from hemexp.files.writing import remove, write_csv, write_json, write_text

log = logging.getLogger(__name__)

STATE = "audit.json"  # what the scores in the directory were made of
MODELS: tuple[ModelConfig, ...] = (
    LogisticConfig("logistic", C=1.0),
    ForestConfig("random_forest", num_trees=300),
    SACNNConfig("sacnn"),
)


def audit(cfg: AuditConfig, directory: Path | str) -> Audit:
    """Write ``audit.csv``, ``audit.md`` and ``audit.html``; an unfinished audit in the directory is continued.

    Raises:
        UserError: the cohort, a name in ``only`` or the directory cannot be used.
        Interrupted: a signal came; the same call continues.
    """
    directory = Path(directory)
    protocols = _choose_protocols(cfg)
    data = load_audit_data(cfg)
    published = _score_published(cfg, data)
    _check_state(cfg, data, directory)
    remove(*(directory / f"audit.{kind}" for kind in ("csv", "md", "html")))
    num_threads = torch.get_num_threads()
    torch.set_num_threads(cfg.trainer.num_threads)
    try:
        must_run = cfg.only is not None
        options = {name: getattr(cfg, name) for name in ("optimizer", "scheduler", "loss")}
        found = run_audit(data, protocols, MODELS, cfg.trainer, cfg.num_seeds, directory, must_run, **options)
        figure4 = fit_figure4(data, cfg.trainer, directory) if _wants_figure4(cfg) else None
    finally:
        torch.set_num_threads(num_threads)
    shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    is_simulated = isinstance(cfg.data, SyntheticDataConfig)
    if is_simulated:
        log.warning("warning: the patients are simulated; data.root=PATH audits a cohort")
    _write(found, figure4, published, data, directory, is_simulated)
    return found


def _wants_figure4(cfg: AuditConfig) -> bool:
    return NAME in cfg.only if cfg.only else not cfg.predictions


def _choose_protocols(cfg: AuditConfig) -> list[ProtocolConfig]:
    known = load_protocols()
    for name in cfg.only or ():
        if name not in {*known, NAME}:
            raise UserError(f"only={name}: there is no such protocol; rule: one of {', '.join((*known, NAME))}")
    chosen = [known[name] for name in dict.fromkeys(cfg.only or known) if name != NAME]
    if cfg.models == "default" and cfg.predictions and not cfg.only:
        first = MODELS[0].name  # the fastest, enough to compare a table with
        return [replace(each, models=[first]) for each in chosen if first in each.models]
    if cfg.models == "default":
        return chosen
    return [replace(each, models=[model.name for model in MODELS if _fits(each, model)]) for each in chosen]


def _fits(protocol: ProtocolConfig, model: ModelConfig) -> bool:
    """Return whether a protocol can be run with a model: only networks have epochs, and 4000 forests take hours."""
    if protocol.choose in {"epoch", "setting"}:
        return isinstance(model, NetConfig)
    return protocol.choose != "split" or not isinstance(model, ForestConfig)


def load_audit_data(cfg: AuditConfig) -> AuditData:
    """Return the cohort of an audit with its patients, inputs and outcome.

    Raises:
        UserError: the cohort cannot be read, or no patient has a known outcome.
    """
    assert isinstance(cfg.label, GrowthLabelConfig)
    cohort = load_cohort(cfg.data, key_file=cfg.privacy.pseudonymize)
    data = build_audit_data(cohort, cfg.label, cfg.features)
    log.info("%d patients, %d inputs; outcome: %s", len(data.patients), len(data.names), cfg.label.describe())
    return data


def _score_published(cfg: AuditConfig, data: AuditData) -> Published | None:
    if cfg.predictions is None:
        return None
    predictions = read_predictions(Path(cfg.predictions), data.cohort, cfg.privacy.pseudonymize)
    return score_table(predictions, data)


def _check_state(cfg: AuditConfig, data: AuditData, directory: Path) -> None:
    """Check that scores in the directory are of the same cohort and settings, and write what they are made of.

    Raises:
        UserError: they are not.
    """
    names = ("label", "features", "trainer", "optimizer", "scheduler", "loss")
    settings = {name: hashed_values(getattr(cfg, name)) for name in names}
    texts = ("title", "wrong", "look", "note", "source", "models")
    protocols = {name: asdict(protocol) for name, protocol in load_protocols().items()}
    for protocol in protocols.values():
        for name in texts:
            del protocol[name]
    state = {"data_hash": data.cohort.data_hash, **settings, "protocols": protocols}
    path = directory / STATE
    if any((directory / name).is_file() for name in (SCORES, CURVES, FITS)) and (
        not path.is_file() or load_json(path) != state
    ):
        raise UserError(f"output_dir={directory}: holds an audit of another cohort or other settings; choose a new one")
    write_json(path, state)


def _write(
    found: Audit,
    figure4: Figure4 | None,
    published: Published | None,
    data: AuditData,
    directory: Path,
    is_simulated: bool,
) -> None:
    from hemexp.figures.audit import draw_audit, draw_figure4
    from hemexp.figures.style import house_style, save_png
    from hemexp.report.audit import build_content
    from hemexp.report.audit_predictions import conclude
    from hemexp.report.html import to_html, without_ids
    from hemexp.report.markdown import to_markdown

    frame = found.frame()
    if published:
        frame = pd.concat([published.frame(), frame])[frame.columns]
    write_csv(frame, directory / "audit.csv")
    pictures = {}
    with house_style():
        for name, figure in (
            ("audit", draw_audit(found) if found.rows else None),
            (NAME, draw_figure4(figure4) if figure4 else None),
        ):
            if figure:
                pictures[name] = directory / "figures" / f"{name}.png"
                save_png(figure, pictures[name])
    content = build_content(found, figure4, published, data, pictures, is_simulated)
    ids = list(data.cohort.patients["patient_id"])
    write_text(directory / "audit.md", to_markdown(without_ids(content, ids)))
    write_text(directory / "audit.html", to_html(content, ids, patients=False))
    print(frame.round(3).to_string(index=False) if len(frame) else "")
    if published:
        print(conclude(published))
    print(f"files in {directory}: audit.csv, audit.md and audit.html, which opens in every browser")
