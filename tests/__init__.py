# This file makes `tests.reference` importable: torch-fidelity installs a package named `tests`, too.
