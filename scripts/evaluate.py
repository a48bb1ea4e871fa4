"""The same as `dreamgan evaluate`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
