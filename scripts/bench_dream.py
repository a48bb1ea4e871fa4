"""The dream engine against the arithmetic floor of the machine; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench_dream", *sys.argv[1:]]))
