"""Flags: read off a typed function and its docstring, and the checks that several commands share."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from dreamgan.errors import UserError
from dreamgan.settings import bound_configs

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the docstring's paragraphs and gives each default; where it is None, the help says what happens."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        plain = action.default in (None, argparse.SUPPRESS) or not action.option_strings
        return text if plain else f"{text} (default: %(default)s)"


def flags_parser(prog: str, function: Callable[..., None], positional: Collection[str] = ()) -> ArgumentParser:
    """A parser whose flags are the parameters of a function.

    Args:
        prog: What the help calls the program.
        function: Annotated, with a Google docstring that describes every parameter. A parameter without a default
            becomes positional.
        positional: Names of parameters that are so, too, though they may be left out.

    Returns:
        A parser that raises ``jsonargparse.ArgumentError`` rather than end the program.
    """
    from docstring_parser import parse_from_object
    from jsonargparse import ActionYesNo, ArgumentParser

    bound_configs()
    parser = ArgumentParser(
        prog=prog,
        description=(inspect.getdoc(function) or "").partition("\n\nArgs:")[0],
        formatter_class=_Help,
        exit_on_error=False,
    )
    kinds = get_type_hints(function)
    texts = {parameter.arg_name: parameter.description for parameter in parse_from_object(function).params}
    for name, parameter in inspect.signature(function).parameters.items():
        help_text = " ".join((texts[name] or "").split()).replace("%", "%%")
        required = parameter.default is inspect.Parameter.empty
        if required or name in positional:
            kind = "FOLDER" if help_text.startswith("Folder") else "PHOTO_OR_FOLDER"
            metavar = kind if name == "photos" else name.upper()
            nargs = {} if required else {"nargs": "?", "default": parameter.default}
            parser.add_argument(name, type=kinds[name], metavar=metavar, help=help_text, **nargs)
        elif kinds[name] is bool:
            parser.add_argument(f"--{name}", action=ActionYesNo, nargs="?", default=parameter.default, help=help_text)
        else:
            parser.add_argument(f"--{name}", type=kinds[name], default=parameter.default, help=help_text)
    if "config" not in texts:
        parser.add_argument(
            "--config", action="config", help="YAML file with values for these flags (see --print_config)."
        )
    return parser


def at_least(least: int, **values: int | None) -> None:
    """Refuse flags below a bound.

    Args:
        least: The bound.
        **values: Flag and value; None passes.

    Raises:
        UserError: Naming the flag.
    """
    for flag, value in values.items():
        if value is not None and value < least:
            raise UserError(f"--{flag} is {value}; it must be at least {least}")


def check_seed(seed: int) -> None:
    """Refuse a seed that does not fit 64 bits.

    Raises:
        UserError: Naming the flag.
    """
    if not -(2**63) <= seed < 2**63 - 1:  # the seed after it is used, too
        raise UserError(f"--seed is {seed}; it must fit 64 bits")


def out_folder(out: str, *, writable: bool = True, flag: str = "out") -> Path:
    """The folder to write to, checked before the work begins; nothing is made yet.

    Args:
        out: As the user gave it.
        writable: Whether it must be; not where all is there already.
        flag: What it is called.

    Raises:
        UserError: If a file is in the way or the place may not be written to.
    """
    folder = Path(out).expanduser()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not existing.is_dir():
        raise UserError(f"'{existing}' is a file, not a folder; give another --{flag}")
    if writable and not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"'{existing}' may not be written to; give another --{flag}")
    return folder
