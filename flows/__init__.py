"""The control plane: Prefect flows, one file each.

Orchestration only; every computation lives in `crucible`.
"""
