"""Write the mean of two trained generators; --help says more."""

import sys

from dreamgan.cli import run_script
from dreamgan.generators.average import average_generators


def main(args: list[str]) -> int:
    return run_script(__file__, average_generators, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
