"""Put a trained generator into the package; --help says more. For those who make a release."""

import sys

from dreamgan.cli import run_script
from dreamgan.generators.ship import ship_generator


def main(args: list[str]) -> int:
    return run_script(__file__, ship_generator, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
