"""Put a trained generator into the package; --help says more. For those who make a release."""

import sys

from jsonargparse import ArgumentError

from dreamgan.cli import flag_error
from dreamgan.commands.flags import flags_parser
from dreamgan.errors import UserError
from dreamgan.generators.ship import ship_generator


def main(args: list[str]) -> int:
    try:
        flags = flags_parser("ship_generator.py", ship_generator).parse_args(args)
        ship_generator(flags.generator, flags.figures, flags.out)
    except (ArgumentError, UserError) as error:
        print(f"ship_generator: {' '.join(flag_error(str(error)).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
