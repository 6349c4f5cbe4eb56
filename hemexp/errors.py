"""The errors that are nobody's bug."""

RESUMES = "; the same command with output_dir="  # what a run alone is told to do after an interruption


class UserError(Exception):
    """The input or the configuration is wrong: the message states rule and value, the command ends with exit code 2."""


class Interrupted(Exception):
    """The user or the system asked the job to stop: what it has is saved, the command ends with exit code 1."""


class CheckFailed(Exception):
    """A run did what it was asked, and found that something is wrong: a message, and exit code 1."""


class Pruned(Exception):
    """A search ended the job early: other settings score better."""


class JobFailed(Exception):
    """A job of a sweep failed; the error is already in its log. The command ends with exit code 1."""
