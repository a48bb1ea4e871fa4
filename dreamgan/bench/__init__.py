"""Benchmarks: the dream engine against the arithmetic floor and a plain loop, and what a dataset costs besides."""
