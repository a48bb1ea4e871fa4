"""The same as `dreamgan compare_backbones`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare_backbones", *sys.argv[1:]]))
