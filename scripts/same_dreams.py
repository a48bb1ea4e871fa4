"""The same as `dreamgan same_dreams`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["same_dreams", *sys.argv[1:]]))
