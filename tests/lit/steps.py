"""`dreamgan train`, run as `python -m tests.lit.steps OUT TROUBLE fit ...`, that leaves what it did in OUT.

Lightning starts the same command once more for each further process. Every process writes its losses, step by step, and
its weights at the end. TROUBLE is where the last process gets into it: "nan 3" for a loss that is not a number in
epoch 3, "stop 3" for a mistake of the user's.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamgan.cli import main
from dreamgan.errors import UserError
from dreamgan.lit.pix2pix import Pix2Pix

Losses = list[dict[str, float]]
SetAttribute = Callable[[object, str, object], None]


def record(set_attribute: SetAttribute, out: Path, trouble: str = "") -> None:
    """Make trainings write what they do, as `steps` and `weights` read it."""
    terms, log_dict = Pix2Pix._terms, Pix2Pix.log_dict

    def poison(self: Pix2Pix, *args: Any) -> dict[str, Tensor]:
        found = terms(self, *args)
        if self.global_rank == self.trainer.world_size - 1:
            if trouble == f"nan {self.current_epoch}":
                found["l1"] = found["l1"] * torch.nan
            if trouble == f"stop {self.current_epoch}":
                raise UserError("this picture cannot be read")
        return found

    def note(self: Pix2Pix, values: Mapping[str, Any], *args: Any, **options: Any) -> None:
        log_dict(self, values, *args, **options)
        if self.trainer.training:
            with (out / f"{self.global_rank}.jsonl").open("a") as file:
                file.write(json.dumps({name: float(value) for name, value in values.items()}) + "\n")

    def end(self: Pix2Pix) -> None:
        torch.save(self.state_dict(), out / f"{self.global_rank}.pt")
        (out / f"{self.global_rank}.json").write_text(json.dumps({n: m.agreement for n, m in self.measures.items()}))

    set_attribute(Pix2Pix, "_terms", poison)
    set_attribute(Pix2Pix, "log_dict", note)
    set_attribute(Pix2Pix, "on_train_end", end)


def steps(out: Path, rank: int = 0) -> Losses:
    return [json.loads(line) for line in (out / f"{rank}.jsonl").read_text().splitlines()]


def weights(out: Path, rank: int = 0) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(out / f"{rank}.pt", weights_only=True)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    (out / f"started-{os.environ.get('LOCAL_RANK', '0')}").touch()
    record(setattr, out, sys.argv[2])
    sys.exit(main(["train", *sys.argv[3:]]))
