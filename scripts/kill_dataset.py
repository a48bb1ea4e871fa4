"""Kill the making of a dataset again and again, and see whether anything is lost; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["kill_dataset", *sys.argv[1:]]))
