"""The live web page: what every agent holds, earned and why.

It reads files and listens; the one thing that changes anything is `crucible.dashboard.steering`.
"""
