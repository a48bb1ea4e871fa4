"""The same as `dreamgan style`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["style", *sys.argv[1:]]))
