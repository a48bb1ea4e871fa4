"""The console command `dreamgan COMMAND`: dream, dataset, train, sample ...; the scripts call the same functions."""

from __future__ import annotations

import inspect
import re
import signal
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

USAGE = """\
usage: dreamgan COMMAND ...

  dream          dream a photo or a folder of photos directly
  dataset        dream a set of photos into a dataset of (photo, dream) pairs
  train          train a generator on such a dataset, or a classifier (Lightning's command line: fit, validate ...)
  sample         dream photos, or from noise, in one pass of a trained generator
  evaluate       measure a trained generator against the direct dreams of a dataset
  export_onnx    write a trained generator as an ONNX file, which runs without PyTorch
  style          paint a photo in the style of another picture; reconstruct content or style from noise
  compare        the same photos in every way, dreamed and painted, on one page
  quickstart     all of it on sample photos and small defaults, in some minutes
  reproduce      run an experiment of one of the papers: layers, juit, styleconv or bedtime
  compare_backbones  train the same head on several networks and sets of photos, as a table
  shorter_training   do dreams among the training photos of a classifier shorten its training?
  same_dreams        does fine-tuning a network change what it dreams?
  bench_dream    time the dream engine against the arithmetic floor of this machine
  bench_dataset  measure what a dream dataset costs beyond its dreams: bytes, time and memory
  bench_sample   time dreams in one pass against direct ones, in seconds and in multiply-adds
  kill_dataset   kill the making of a dataset again and again, and see whether anything is lost

dreamgan COMMAND --help says more; dreamgan --version says the version."""


def _dream(args: list[str]) -> None:
    from dreamgan.commands.dream import dream

    _call("dream", dream, args)


def _dataset(args: list[str]) -> None:
    from dreamgan.commands.dataset import make_dataset

    _call("dataset", make_dataset, args)


def _train(args: list[str]) -> None:
    from dreamgan.commands.train import train

    train(args)


def _sample(args: list[str]) -> None:
    from dreamgan.commands.sample import sample

    _call("sample", sample, args, positional=["photos"])


def _evaluate(args: list[str]) -> None:
    from dreamgan.commands.evaluate import evaluate

    _call("evaluate", evaluate, args)


def _export_onnx(args: list[str]) -> None:
    from dreamgan.commands.export_onnx import export_onnx

    _call("export_onnx", export_onnx, args)


def _style(args: list[str]) -> None:
    from dreamgan.commands.style import style_photos

    _call("style", style_photos, args)


def _compare(args: list[str]) -> None:
    from dreamgan.commands.compare import compare

    _call("compare", compare, args)


def _quickstart(args: list[str]) -> None:
    from dreamgan.quickstart import quickstart

    _call("quickstart", quickstart, args)


def _reproduce(args: list[str]) -> None:
    from dreamgan.commands.reproduce import reproduce

    _call("reproduce", reproduce, args)


def _compare_backbones(args: list[str]) -> None:
    from dreamgan.commands.compare_backbones import compare_backbones

    _call("compare_backbones", compare_backbones, args)


def _shorter_training(args: list[str]) -> None:
    from dreamgan.commands.shorter_training import shorter_training

    _call("shorter_training", shorter_training, args)


def _same_dreams(args: list[str]) -> None:
    from dreamgan.commands.same_dreams import same_dreams

    _call("same_dreams", same_dreams, args)


def _bench_dream(args: list[str]) -> None:
    from dreamgan.bench.dream import bench_dream

    _call("bench_dream", bench_dream, args)


def _bench_dataset(args: list[str]) -> None:
    from dreamgan.bench.dataset import bench_dataset

    _call("bench_dataset", bench_dataset, args)


def _bench_sample(args: list[str]) -> None:
    from dreamgan.bench.sample import bench_sample

    _call("bench_sample", bench_sample, args)


def _kill_dataset(args: list[str]) -> None:
    from dreamgan.bench.kill import kill_dataset

    _call("kill_dataset", kill_dataset, args)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "dream": _dream,
    "dataset": _dataset,
    "train": _train,
    "sample": _sample,
    "evaluate": _evaluate,
    "export_onnx": _export_onnx,
    "style": _style,
    "compare": _compare,
    "quickstart": _quickstart,
    "reproduce": _reproduce,
    "compare_backbones": _compare_backbones,
    "shorter_training": _shorter_training,
    "same_dreams": _same_dreams,
    "bench_dream": _bench_dream,
    "bench_dataset": _bench_dataset,
    "bench_sample": _bench_sample,
    "kill_dataset": _kill_dataset,
}


def _call(command: str, function: Callable[..., None], args: list[str], positional: Sequence[str] = ()) -> None:
    """Parse the flags of a typed function, which its docstring describes, and call it."""
    from dreamgan.commands.flags import flags_parser

    parsed = flags_parser(f"dreamgan {command}", function, positional).parse_args(args)
    function(**{name: parsed[name] for name in inspect.signature(function).parameters})


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: As on the command line; None takes ``sys.argv``.

    Returns:
        The exit code: 0; 2 for a mistake of the user's or a disk that does not take what is written, of which the
        last line on stderr says what is wrong; 130 when interrupted.
    """
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    if "--version" in args[:2]:
        from dreamgan import __version__

        print(f"dreamgan {__version__}")
        return 0
    if args[0] not in COMMANDS:
        print(USAGE, file=sys.stderr)
        print(f"dreamgan: there is no command {args[0]!r}; use {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return _run(args[0], args[1:])


def _run(command: str, args: list[str]) -> int:
    import jsonargparse

    from dreamgan.errors import UserError

    terminated = False

    def terminate(*_: object) -> None:
        nonlocal terminated
        terminated = True
        raise KeyboardInterrupt

    # A scheduler's SIGTERM ends a command as Ctrl-C does; Lightning leaves a handler in place that it finds.
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if in_main_thread else None
    try:
        COMMANDS[command](args)
    except UserError as error:
        return _stop(command, str(error), 2)
    except jsonargparse.ArgumentError as error:
        return _stop(command, f"{flag_error(str(error))} (--help lists all flags)", 2)
    except KeyboardInterrupt:
        how, code = ("terminated", 143) if terminated else ("interrupted", 130)
        return _stop(command, f"{how}; what was finished is kept", code)
    except OSError as error:
        # With a number it comes from the system: a full disk, a missing right. Without one it is a bug of ours.
        if error.errno is None:
            raise
        file = f"{error.filename}: " if error.filename else ""
        return _stop(command, f"{file}{error.strerror or error}; what was finished is kept", 2)
    except (MemoryError, RuntimeError) as error:
        from dreamgan.devices import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        return _stop(command, "out of memory; give smaller pictures, or fewer; what was finished is kept", 2)
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
    return 0


def _stop(command: str, text: str, code: int) -> int:
    print(f"dreamgan {command}: {' '.join(text.split())}", file=sys.stderr, flush=True)
    return code


def run_script(path: str, function: Callable[..., None], args: list[str], positional: Collection[str] = ()) -> int:
    """Run a function whose arguments are a script's flags; what the user did wrong becomes one line.

    Args:
        path: Of the script.
        function: Documented as ``flags_parser`` wants it.
        args: The command line.
        positional: Arguments that are given without a flag.

    Returns:
        Exit status.
    """
    from jsonargparse import ArgumentError

    from dreamgan.commands.flags import flags_parser
    from dreamgan.errors import UserError

    name = Path(path).stem
    try:
        flags = vars(flags_parser(f"{name}.py", function, positional).parse_args(args))
        function(**{flag: value for flag, value in flags.items() if flag != "config"})
    except (ArgumentError, UserError) as error:
        print(f"{name}: {' '.join(flag_error(str(error)).split())}", file=sys.stderr)
        return 2
    return 0


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}


def flag_error(text: str) -> str:
    """Shorten what jsonargparse says, over several lines, of a value that does not fit its flag."""
    text = re.sub(r'^Parser key "([^"]+)":', r"--\1:", text)
    text = re.sub(r"^argument (--\w+)\S*: invalid _boolean_type value: (.*)", r"\1: \2 is not true or false", text)
    # Of a class in a config, only what is said of its own arguments matters; that is indented further.
    problem = re.search(
        r"given class_path '[\w.]*?(\w+)':\s*(.*?)(?:\n {1,4}- Expected a <class 'None|\Z)", text, re.DOTALL
    )
    # What was given comes last, after what each of several kinds made of it.
    value = re.search(r"Given value: (.*)\Z", text, re.DOTALL) or re.search(r"Got value: (.*)\Z", text, re.DOTALL)
    choices = re.search(r"Literal\[(.+?)\]", text)
    kinds = [_KINDS[kind] for kind in re.findall(r"Expected an? <class '(\w+)'>", text) if kind in _KINDS]
    flag = text.partition(":")[0]
    if "list[float]" in text and value and not problem:
        given = value[1].strip().splitlines()[0]
        return f"{flag}: {given!r} is neither a number nor a list like [0.5, 1]"
    if "list[str]" in text and value and not problem:
        given = value[1].strip().splitlines()[0]
        return f'{flag}: {given!r} is not a list; give one, like "[{given}]"'
    if problem:
        return f"{flag}: {problem[1]}: {flag_error(problem[2])}"
    if value and (choices or kinds):
        expected = f"one of {choices[1]}" if choices else " or ".join(kinds)
        return f"{flag}: {value[1].strip()!r} is not {expected}"
    return text
