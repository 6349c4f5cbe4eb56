"""Run the work items of a sweep on this machine, on Slurm or on Ray."""
