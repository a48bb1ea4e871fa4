"""The same as `dreamgan dream`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["dream", *sys.argv[1:]]))
