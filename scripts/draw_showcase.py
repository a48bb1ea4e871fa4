"""Draw the picture that shows a trained generator; --help says more. For those who make a release."""

import sys

from jsonargparse import ArgumentError

from dreamgan.cli import flag_error
from dreamgan.commands.flags import flags_parser
from dreamgan.errors import UserError
from dreamgan.evaluation.showcase import draw_showcase


def main(args: list[str]) -> int:
    try:
        flags = flags_parser("draw_showcase.py", draw_showcase).parse_args(args)
        draw_showcase(flags.dataset, flags.out, flags.generator, flags.weights, flags.size)
    except (ArgumentError, UserError) as error:
        print(f"draw_showcase: {' '.join(flag_error(str(error)).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
