"""A public GAN on the same dreams, as an anchor for the one that dreams from noise; --help says more."""

import sys

from dreamgan.bench.public_gan import bench_public_gan
from dreamgan.cli import run_script


def main(args: list[str]) -> int:
    return run_script(__file__, bench_public_gan, args, positional=("dataset",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
