"""Run each work item in its own process on this machine."""
