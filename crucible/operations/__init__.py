"""Operations: start, watch, stop and report on the whole stack of processes.

It knows processes, addresses and files, and reads the books of others. It decides nothing about
trading, and imports no orchestrator, so that `crucible status` answers in a moment.
"""
