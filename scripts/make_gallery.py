"""Draw the pictures of docs/gallery.md: dreams by every recipe and in every style; --help says more."""

import sys

from dreamgan.cli import run_script
from dreamgan.evaluation.dream_gallery import make_gallery


def main(args: list[str]) -> int:
    return run_script(__file__, make_gallery, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
