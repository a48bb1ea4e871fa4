"""The dream engine against the arithmetic floor, a plain loop and itself; what `scripts/bench_dream.py` prints."""
