"""A trained generator as an ONNX file; --help says more."""

import sys

from dreamgan.cli import main

if __name__ == "__main__":
    sys.exit(main(["export_onnx", *sys.argv[1:]]))
