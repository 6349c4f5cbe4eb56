"""Import the code that work items need, once, in the server that forks their processes.

Only the server imports this module. It starts no threads and does not ask for a GPU, which would break its forks.
"""

import gc
import os
import signal
from importlib import import_module


def end_with_launcher(*_: object) -> None:
    """End the server if the launcher has ended, such as after a sweep that was refused."""
    if os.getppid() != launcher:
        os._exit(0)


launcher = os.getppid()
os.setsid()  # signals of the terminal must not reach the server and the processes that it forks
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
nowhere = os.open(os.devnull, os.O_RDWR)
for stream in (1, 2):  # a program that reads the launcher's output must not wait for the server
    os.dup2(nowhere, stream)
os.environ["OMP_NUM_THREADS"] = "1"  # libraries read it when they are loaded; a process sets its own number later

signal.signal(signal.SIGALRM, end_with_launcher)
signal.setitimer(signal.ITIMER_REAL, 0.25, 0.25)
gc.disable()  # the imports take a fifth less time without garbage collection
for module in (
    "matplotlib.backends.backend_agg", "sklearn.ensemble", "sklearn.inspection", "sklearn.linear_model",
    "sklearn.model_selection", "threadpoolctl", "hemexp.cli", "hemexp.commands.train", "hemexp.sweep.backends.fits",
    "hemexp.sweep.backends.run_item",
):  # fmt: skip
    import_module(module)
gc.enable()
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_DFL)
gc.freeze()  # the collector must not touch, and so copy, the memory that all processes share
