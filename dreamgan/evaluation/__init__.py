"""Measuring a generator on a dream dataset: which pairs, with what, and how the result is shown."""
