"""The same as `dreamgan reproduce`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))
