"""Imported once by the server that forks the processes of work items: what they need, so that they start in no time.

Only the server imports this module. It starts no threads and does not ask for a GPU, which would break its forks.
"""

import gc
import os
import signal
from importlib import import_module

launcher = os.getppid()
os.setsid()  # signals of the terminal must not reach the server and the processes that it forks
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
nowhere = os.open(os.devnull, os.O_RDWR)
for stream in (1, 2):  # who reads the output of the launcher must not wait for the server
    os.dup2(nowhere, stream)
os.environ["OMP_NUM_THREADS"] = "1"  # libraries read it when they are loaded; a process sets its own number later

gc.disable()  # the imports take a fifth less time without garbage collection
for module in (
    "matplotlib.backends.backend_agg", "sklearn.ensemble", "sklearn.inspection", "sklearn.linear_model",
    "sklearn.model_selection", "threadpoolctl", "hemexp.cli", "hemexp.commands.train", "hemexp.sweep.backends.fits",
    "hemexp.sweep.backends.run_item",
):  # fmt: skip
    import_module(module)
    if os.getppid() != launcher:
        os._exit(0)  # such as a sweep that was refused
gc.enable()
gc.freeze()  # the collector must not touch, and so copy, the memory that all processes share
