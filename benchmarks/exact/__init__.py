"""Exact engines beside their peers: `python -m benchmarks.exact`."""
