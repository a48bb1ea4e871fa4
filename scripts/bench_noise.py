"""A public GAN on the same dreams, as an anchor for the one that dreams from noise; --help says more."""

import sys

from jsonargparse import ArgumentError

from dreamgan.bench.public_gan import bench_public_gan
from dreamgan.cli import flag_error
from dreamgan.commands.flags import flags_parser
from dreamgan.errors import UserError


def main(args: list[str]) -> int:
    try:
        flags = flags_parser("bench_noise.py", bench_public_gan, positional=("dataset",)).parse_args(args)
        bench_public_gan(**{name: value for name, value in vars(flags).items() if name != "config"})
    except (ArgumentError, UserError) as error:
        print(f"bench_noise: {' '.join(flag_error(str(error)).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
