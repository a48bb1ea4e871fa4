"""The console command `dreamgan dream | dataset | train | sample`; the scripts call the same functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

USAGE = """\
usage: dreamgan COMMAND ...

  dream    dream a photo or a folder of photos directly
  dataset  dream a set of photos into a dataset of (photo, dream) pairs
  train    train a generator on such a dataset (Lightning's command line: fit, validate ...)
  sample   dream photos in one pass of a trained generator

dreamgan COMMAND --help says more; dreamgan --version says the version."""


def _dream(args: list[str]) -> None:
    from dreamgan.commands.dream import dream

    _call(dream, args, positional=True)


def _dataset(args: list[str]) -> None:
    from dreamgan.commands.dataset import make_dataset

    _call(make_dataset, args, positional=False)


def _train(args: list[str]) -> None:
    from dreamgan.commands.train import train

    train(args)


def _sample(args: list[str]) -> None:
    from dreamgan.commands.sample import sample

    _call(sample, args, positional=True)


def _quickstart(args: list[str]) -> None:
    from dreamgan.quickstart import quickstart

    _call(quickstart, args, positional=False)


def _bench_dream(args: list[str]) -> None:
    from dreamgan.bench import bench_dream

    _call(bench_dream, args, positional=False)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "dream": _dream,
    "dataset": _dataset,
    "train": _train,
    "sample": _sample,
    "quickstart": _quickstart,
    "bench_dream": _bench_dream,
}


def _call(function: Callable[..., None], args: list[str], *, positional: bool) -> None:
    """Parse the flags of a typed function and call it."""
    import jsonargparse
    from docstring_parser import DocstringStyle

    jsonargparse.set_parsing_settings(docstring_parse_style=DocstringStyle.GOOGLE)
    jsonargparse.auto_cli(function, args=args, as_positional=positional, exit_on_error=False)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: As on the command line; None takes ``sys.argv``.

    Returns:
        The exit code: 0; 2 for a mistake of the user's, whose last line on stderr says what is wrong and what to
        do; 130 when interrupted.
    """
    import jsonargparse

    from dreamgan.errors import UserError

    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if args else 2
    if args[0] == "--version":
        from dreamgan import __version__

        print(f"dreamgan {__version__}")
        return 0
    if args[0] not in COMMANDS:
        print(USAGE, file=sys.stderr)
        print(f"dreamgan: there is no command {args[0]!r}; use {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        COMMANDS[args[0]](args[1:])
    except UserError as error:
        print(f"dreamgan {args[0]}: {_one_line(error)}", file=sys.stderr)
        return 2
    except jsonargparse.ArgumentError as error:
        print(f"dreamgan {args[0]}: {_one_line(error)} (--help lists all flags)", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"dreamgan {args[0]}: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    return 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
