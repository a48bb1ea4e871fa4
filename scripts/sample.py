"""The same as `dreamgan sample`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["sample", *sys.argv[1:]]))
