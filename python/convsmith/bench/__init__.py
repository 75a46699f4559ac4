"""Timing kernels and whole steps against a peer, honestly: one process, alternating, medians."""
