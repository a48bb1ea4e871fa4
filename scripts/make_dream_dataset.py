"""The same as `dreamgan dataset`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["dataset", *sys.argv[1:]]))
