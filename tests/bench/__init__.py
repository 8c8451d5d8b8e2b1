"""Benchmarks against limits, as ratios and percentiles of one run: `make bench`, or `make bench B="ssh stack"` for some of them."""
