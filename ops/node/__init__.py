"""Processes on one host: started, stopped, restarted and seen. `python -m ops.node` is its agent."""
