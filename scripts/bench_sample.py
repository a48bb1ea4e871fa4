"""One-pass dreams against direct ones: seconds and multiply-adds; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench_sample", *sys.argv[1:]]))
