"""What the benchmarks share: processes, upstreams, peers, load and reports."""
