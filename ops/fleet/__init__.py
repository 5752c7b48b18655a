"""The fleet: which hosts and processes, in which order, over which transport."""
