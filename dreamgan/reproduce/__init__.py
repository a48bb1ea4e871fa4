"""The papers' experiments, one module each: ``run(job)`` writes a figure (PNG) and a table (CSV) into a folder."""
