"""What a dream dataset costs beyond its dreams: bytes, time and memory; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench_dataset", *sys.argv[1:]]))
