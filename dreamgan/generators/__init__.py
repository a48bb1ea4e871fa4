"""The generator that comes with the package, ready to dream without any training."""

from __future__ import annotations

from pathlib import Path

from dreamgan.errors import UserError

SHIPPED = Path(__file__).parent / "dreams"


def generator_folder(given: str | None) -> Path:
    """The folder of the generator that a command shall use.

    Args:
        given: As the user gave it; None: the generator of the package.

    Raises:
        UserError: If none is given and this package carries none, or the name is empty.
    """
    if given is None:
        if not (SHIPPED / "config.json").is_file():
            raise UserError("this package carries no generator; give --generator FOLDER, as training exported it")
        return SHIPPED
    if not given.strip():
        raise UserError("--generator is an empty name; give the folder that training exported, or leave it out")
    return Path(given).expanduser()
