"""The names of patients in the files that a command writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Optional

from hemexp.config.section import Section, key

FEWEST_BYTES = 16


@dataclass
class PrivacyConfig(Section):
    """The names of patients in the files that a command writes."""

    PREFIX: ClassVar[str] = "privacy"
    pseudonymize: Optional[str] = key(
        None,
        "file with a secret key, at least 16 bytes: replaces patient ids and serials by keyed hashes, and shifts dates",
        is_file=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pseudonymize is None:
            return
        path = Path(self.pseudonymize)
        rule = "there is no such file; docs/files.md says how to make a key"
        self.require(bool(self.pseudonymize) and path.is_file(), "pseudonymize", rule)
        size = path.stat().st_size
        rule = f"holds {size} bytes; rule: at least {FEWEST_BYTES} random bytes; docs/files.md says how to make a key"
        self.require(size >= FEWEST_BYTES, "pseudonymize", rule)
        self.pseudonymize = str(path.resolve())

    def keep_outside(self, name: str, directory: str | Path | None) -> None:
        """Refuse a key file that lies in a directory.

        Args:
            name: the key of the directory, such as output_dir.
            directory: that may be copied or given away together with its files.

        Raises:
            UserError: names both.
        """
        if self.pseudonymize is None or directory is None:
            return
        inside = Path(self.pseudonymize).is_relative_to(Path(directory).resolve())
        rule = f"lies in {name}={directory}; rule: the key is kept apart from the files; move it to another folder"
        self.require(not inside, "pseudonymize", rule)
