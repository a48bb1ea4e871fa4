"""Photos -> dream dataset -> training -> runs/quickstart/sheet.png, on embedded defaults; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["quickstart", *sys.argv[1:]]))
