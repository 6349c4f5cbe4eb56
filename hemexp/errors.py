"""Errors that are not a defect of the program."""

RESUMES = "; the same command with output_dir="  # in the message of an interrupted single run, before its directory


class UserError(Exception):
    """The input or the configuration is wrong. The message states rule and value; the command exits with 2."""


class Interrupted(Exception):
    """The user or the system stopped the job. Its state is saved; the command exits with 1."""


class CheckFailed(Exception):
    """A run is complete, but a check of its result failed. The command prints a message and exits with 1."""


class SystemFailure(Exception):
    """The system ended something that the job needs, such as a process. The command prints a message, exits with 1."""


class Pruned(Exception):
    """A search stopped the job early, because other settings have better scores."""


class JobFailed(Exception):
    """A job of a sweep failed. Its log holds the error; the command exits with 1."""
