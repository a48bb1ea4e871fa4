"""Draw the picture that shows a trained generator; --help says more. For those who make a release."""

import sys

from dreamgan.cli import run_script
from dreamgan.evaluation.showcase import draw_showcase


def main(args: list[str]) -> int:
    return run_script(__file__, draw_showcase, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
