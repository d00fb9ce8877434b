"""Starting, watching and stopping the processes of one workspace.

Entry point: `supervisor.up`. A process is only ever ended by whoever knows its start tick.
"""
