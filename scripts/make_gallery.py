"""Draw the pictures of docs/gallery.md: dreams by every recipe and in every style; --help says more."""

import sys

from jsonargparse import ArgumentError

from dreamgan.cli import flag_error
from dreamgan.commands.flags import flags_parser
from dreamgan.errors import UserError
from dreamgan.evaluation.dream_gallery import make_gallery


def main(args: list[str]) -> int:
    try:
        flags = flags_parser("make_gallery.py", make_gallery).parse_args(args)
        make_gallery(flags.out, flags.weights, flags.only, flags.generator, flags.size)
    except (ArgumentError, UserError) as error:
        print(f"make_gallery: {' '.join(flag_error(str(error)).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
