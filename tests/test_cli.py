import errno
import inspect

import pytest

from dreamgan import __version__, cli
from dreamgan.commands.compare import compare
from dreamgan.commands.dataset import make_dataset
from dreamgan.commands.dream import dream
from dreamgan.commands.sample import sample
from dreamgan.commands.style import style_photos
from dreamgan.errors import UserError
from dreamgan.quickstart import quickstart


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_without_a_command_the_usage_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "dreamgan COMMAND" in captured.err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == list(cli.COMMANDS)


@pytest.mark.parametrize("args", [["--version"], ["dream", "--version"]])
def test_version(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(args) == 0
    assert capsys.readouterr().out == f"dreamgan {__version__}\n"


def test_an_unknown_command_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["draem"]) == 2
    assert (
        last_line(capsys) == "dreamgan: there is no command 'draem'; use dream, dataset, train, sample, evaluate, "
        "export_onnx, style, compare, quickstart, reproduce, compare_backbones, shorter_training, same_dreams, "
        "bench_dream, bench_dataset, bench_sample, kill_dataset"
    )


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("dream", dream),
        ("dataset", make_dataset),
        ("sample", sample),
        ("style", style_photos),
        ("compare", compare),
        ("quickstart", quickstart),
    ],
)
def test_help_of_a_command_explains_every_flag(
    command: str, function: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: dreamgan {command}" in text
    options = text.partition("options:")[2]
    for name, parameter in inspect.signature(function).parameters.items():  # type: ignore[arg-type]
        if parameter.default is inspect.Parameter.empty or (command, name) == ("sample", "photos"):
            assert "PHOTO_OR_FOLDER  " in text
            continue
        assert f"--{name}" in options
        described = options.partition(f"\n  --{name}")[2].partition("\n  --")[0]
        # The default is there, or the text says what is done without the flag.
        flat = " ".join(described.split())
        assert f"(default: {parameter.default})" in flat or parameter.default is None, flat
        assert len(flat.split()) > 3, f"{name} is not described"


@pytest.mark.parametrize("command", ["shorter_training", "same_dreams", "compare_backbones"])
def test_help_of_what_takes_folders_only(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert "PHOTO_OR_FOLDER" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["dream", "dataset", "sample", "style", "compare"])
def test_help_gives_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert f"Example: dreamgan {command} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--steps", "abc"], "--steps: 'abc' is not a whole number"),
        (["--steps", "1.5"], "--steps: '1.5' is not a whole number"),
        (["--seed", "x"], "--seed: 'x' is not a whole number"),
        (["--batch", "two"], "--batch: 'two' is not a whole number"),
        (["--step_size", "long"], "--step_size: 'long' is not a number"),
        (["--precision", "16"], "--precision: '16' is not one of '32', 'bf16'"),
        (["--nonsense", "3"], "unrecognized arguments: --nonsense 3"),
        (["--steps"], "argument --steps: expected one argument"),
        (["another.jpg"], "unrecognized arguments: another.jpg"),
    ],
)
def test_a_flag_that_does_not_fit_is_named_in_one_line(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dream", "photo.jpg", *args]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"dreamgan dream: {said} (--help lists all flags)\n"
    assert captured.out == ""


def test_the_photo_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dream"]) == 2
    assert "the following arguments are required: photos" in last_line(capsys)


def test_a_boolean_flag_wants_true_or_false(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dataset", "--overwrite", "maybe"]) == 2
    assert last_line(capsys).startswith("dreamgan dataset: --overwrite: 'maybe' is not true or false")


def test_a_problem_with_a_class_is_cut_out_of_the_long_message() -> None:
    text = (
        'Parser key "model":\n  - Expected a path but dreamgan.nope either not accessible\n  Errors:\n'
        "    - Problem with given class_path 'dreamgan.nope': no such class\n    - Expected a <class 'NoneType'>\n"
        "  Given value type: <class 'str'>\n  Given value: dreamgan.nope"
    )
    assert cli.flag_error(text) == "--model: nope: no such class"


def test_a_number_of_the_wrong_kind_is_named_as_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dream", "photo.jpg", "--steps", "1e9"]) == 2
    assert last_line(capsys) == "dreamgan dream: --steps: '1e9' is not a whole number (--help lists all flags)"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_memory_that_runs_out_becomes_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: list[str]) -> None:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "dream", fail)
    assert cli.main(["dream"]) == 2
    assert last_line(capsys).startswith("dreamgan dream: out of memory; give smaller pictures, or fewer")


def test_config_file_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dream", "photo.jpg", "--config", "none.yaml"]) == 2
    line = last_line(capsys)
    assert "--config" in line
    assert "none.yaml" in line


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("two\nlines"), 2, "dreamgan dream: two lines"),
        (KeyboardInterrupt(), 130, "dreamgan dream: interrupted; what was finished is kept"),
        (
            OSError(errno.ENOSPC, "No space left on device", "dreams/a.png"),
            2,
            "dreamgan dream: dreams/a.png: No space left on device; what was finished is kept",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            2,
            "dreamgan dream: Input/output error; what was finished is kept",
        ),
    ],
)
def test_errors_from_outside_become_one_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: list[str]) -> None:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "dream", fail)
    assert cli.main(["dream"]) == code
    assert capsys.readouterr().err == said + "\n"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug"), OSError("a bug"), RuntimeError("a bug")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: list[str]) -> None:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "dream", fail)
    with pytest.raises(type(error), match="a bug"):
        cli.main(["dream"])
