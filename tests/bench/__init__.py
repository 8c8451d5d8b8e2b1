"""Benchmarks against limits, as ratios and percentiles of one run: `make bench`, or for some of them
`make bench B="ssh stack"`.
"""
