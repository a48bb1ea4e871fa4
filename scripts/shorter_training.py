"""The same as `dreamgan shorter_training`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["shorter_training", *sys.argv[1:]]))
