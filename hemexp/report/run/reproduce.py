"""How to make the run again."""

import shlex
from collections.abc import Sequence

from hemexp.formatting import num
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles


def command(run: RunFiles) -> str | None:
    """Return the exact command of the run, None where its overrides are not there."""
    return None if run.overrides is None else shlex.join(alone(run.overrides))


def alone(overrides: Sequence[str]) -> list[str]:
    """Return the command of a run by itself, into a new directory; of a sweep's job without search and place."""
    left_out = ("output_dir=", "search=", "search.", "where=", "where.", "hydra.")
    own = [each for each in overrides if not each.startswith(left_out)]
    sweeps = any(each.startswith(("experiment=sweep_", "experiment=search_")) for each in own)
    return ["python", "train.py", *own, *(["search=grid", "hydra.mode=RUN"] if sweeps else [])]


def reproduce(run: RunFiles) -> Block | None:
    """Return the section with the command, what identifies the run, and the versions."""
    versions = run.build("versions", lambda block: dict(block)) or {}
    rows = [[name, run.result.get(key)] for name, key in _FACTS.items() if run.result.get(key) is not None]
    seconds = run.result.get("seconds")
    rows += [["computing time", f"{num(seconds, 0)} seconds"]] if isinstance(seconds, int | float) else []
    rows += [[f"version of {name}", version] for name, version in versions.items()]
    shown = command(run)
    words = "This command makes the run again, in a new directory, with the same code, data and versions."
    blocks = [text(words), {"kind": "code", "text": shown}] if shown else []
    return section("reproduce", "How to reproduce this run", [*blocks, table("", ["", ""], rows) if rows else None])


_FACTS = {
    "hash of the configuration": "config_hash",
    "hash of the data": "data_hash",
    "seed": "seed",
    "status": "status",
}
