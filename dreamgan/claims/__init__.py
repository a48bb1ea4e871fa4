"""Claims of the papers that nobody measured, put to the test as docs/classifiers.md registered it."""
