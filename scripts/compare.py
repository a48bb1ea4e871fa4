"""The same as `dreamgan compare`; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
