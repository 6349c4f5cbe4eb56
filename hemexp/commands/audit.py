"""Run flawed protocols beside the honest one, and write a table, a text and a page about them."""

import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import torch

from hemexp.audit.run import SCORES, Audit, run_audit
from hemexp.audit.table import AuditData, build_audit_data
from hemexp.cohort.load import load_cohort
from hemexp.config import (
    AuditConfig,
    ForestConfig,
    GrowthLabelConfig,
    LogisticConfig,
    ModelConfig,
    ProtocolConfig,
    SACNNConfig,
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
    remove(*(directory / f"audit.{kind}" for kind in ("csv", "md", "html")))
    protocols = _choose_protocols(cfg)
    data = _load(cfg)
    _check_state(cfg, data, directory)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(cfg.trainer.num_threads)
    try:
        must_run = cfg.only is not None
        found = run_audit(data, protocols, MODELS, cfg.trainer, cfg.num_seeds, directory, must_run)
    finally:
        torch.set_num_threads(num_threads)
    shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    _write(found, data, directory)
    return found


def _choose_protocols(cfg: AuditConfig) -> list[ProtocolConfig]:
    known = load_protocols()
    for name in cfg.only or ():
        if name not in known:
            raise UserError(f"only={name}: there is no such protocol; rule: one of {', '.join(known)}")
    chosen = [known[name] for name in cfg.only or known]
    if cfg.models == "default":
        return chosen
    networks = [MODELS[-1].name]
    return [
        replace(each, models=networks if each.choose == "epoch" else [model.name for model in MODELS])
        for each in chosen
    ]


def _load(cfg: AuditConfig) -> AuditData:
    assert isinstance(cfg.label, GrowthLabelConfig)
    cohort = load_cohort(cfg.data, key_file=cfg.privacy.pseudonymize)
    data = build_audit_data(cohort, cfg.label, cfg.features)
    log.info("%d patients, %d inputs; outcome: %s", len(data.patients), len(data.names), cfg.label.describe())
    return data


def _check_state(cfg: AuditConfig, data: AuditData, directory: Path) -> None:
    """Check that scores in the directory are of the same cohort and settings, and write what they are made of.

    Raises:
        UserError: they are not.
    """
    names = ("label", "features", "trainer")
    settings = {name: asdict(getattr(cfg, name)) for name in names}
    for name in ("progress_bar", "checkpoint_every"):
        del settings["trainer"][name]
    state = {"data_hash": data.cohort.data_hash, **settings}
    path = directory / STATE
    if (directory / SCORES).is_file() and (not path.is_file() or load_json(path) != state):
        raise UserError(f"output_dir={directory}: holds an audit of another cohort or other settings; choose a new one")
    write_json(path, state)


def _write(found: Audit, data: AuditData, directory: Path) -> None:
    from hemexp.figures.audit import draw_audit
    from hemexp.figures.style import house_style, save_png
    from hemexp.report.audit import render_audit, write_markdown

    write_csv(found.frame(), directory / "audit.csv")
    write_text(directory / "audit.md", write_markdown(found, data))
    with house_style():
        save_png(draw_audit(found), directory / "figures" / "audit.png")
    write_text(directory / "audit.html", render_audit(found, data, directory / "figures" / "audit.png"))
    print(found.frame().round(3).to_string(index=False))
    print(f"files in {directory}: audit.csv, audit.md and audit.html, which opens in every browser")
