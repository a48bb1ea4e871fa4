"""The generators that come with the package, ready to dream without any training."""

from __future__ import annotations

from pathlib import Path

from dreamgan.errors import UserError

SHIPPED = Path(__file__).parent / "dreams"
NOISE = "noise"
"""What the generator of the package is called that dreams from noise."""
SHIPPED_NOISE = Path(__file__).parent / NOISE


def generator_folder(given: str | None) -> Path:
    """The folder of the generator that a command shall use.

    Args:
        given: As the user gave it; None: the generator of the package that dreams photos; ``noise``: the one that
            dreams from noise, unless there is a folder of that name.

    Raises:
        UserError: If none is given and this package carries none, or the name is empty.
    """
    if given == NOISE and not Path(NOISE).exists() and (SHIPPED_NOISE / "config.json").is_file():
        return SHIPPED_NOISE
    if given is None:
        if not (SHIPPED / "config.json").is_file():
            raise UserError("this package carries no generator; give --generator FOLDER, as training exported it")
        return SHIPPED
    if not given.strip():
        raise UserError("--generator is an empty name; give the folder that training exported, or leave it out")
    return Path(given).expanduser()
