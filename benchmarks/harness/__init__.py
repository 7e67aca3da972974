"""Shared by the benchmarks: processes, upstreams, peers, load and reports."""
