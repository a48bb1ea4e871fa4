"""A finished dataset on its way out: to Weights & Biases, to the Hugging Face hub."""

from __future__ import annotations

import json
import os
import re
import sys
from glob import escape
from pathlib import Path
from typing import Any

from dreamgan.data.counting import pair_groups
from dreamgan.data.tables import first_line
from dreamgan.errors import UserError
from dreamgan.making.claim import CARD, CONFIG, DATA, FINISHED
from dreamgan.making.report import sample_pairs

TABLE_ROWS = 16  # of each recipe


def dataset_files(out: Path) -> list[Path]:
    """The files that are the dataset: nothing unfinished, and nothing that somebody put beside them."""
    names = {CONFIG, *FINISHED}
    found = [path for path in out.iterdir() if path.name in names and path.is_file()]
    return sorted([*found, *(out / DATA).glob("*.parquet"), *(out / "guides").glob("*.png")])


def prepare_wandb(folder: Path | str) -> None:
    """Without a key, log offline and say how to log in, rather than stop or ask.

    Args:
        folder: What the hint calls the folder that gets the ``wandb`` folder.
    """
    import wandb

    if os.environ.get("WANDB_MODE"):
        return
    if not wandb.login(prompt=False):
        os.environ["WANDB_MODE"] = "offline"
        wandb.teardown()  # it has read the environment already; let it read again
        print(
            "no W&B key found: logging offline; `wandb login` once to see runs in the browser, "
            f"or `wandb sync {folder}/wandb/offline-run-*` later",
            file=sys.stderr,
        )


def log_to_wandb(out: Path, project: str) -> None:
    """Log a finished dataset as one W&B run: an artifact with its files, a table of pairs, both pictures, mean scores.

    W&B keeps its own files beside the dataset's folder, or in ``WANDB_DIR``. An offline run refers to the dataset's
    files where they are, so that they must be there still when it is synchronised.

    Args:
        out: The dataset's folder; nothing in it is changed.
        project: The W&B project.

    Raises:
        UserError: If W&B is not installed or does not take the run.
    """
    out = out.resolve()
    folder = Path(os.environ.get("WANDB_DIR") or out.parent).resolve()
    if folder.is_relative_to(out):
        folder = out.parent
    try:
        import wandb

        prepare_wandb(folder)
        config = json.loads((out / CONFIG).read_text(encoding="utf-8"))
        with wandb.init(project=project, job_type="dataset", name=out.name, dir=folder, config=config) as run:
            run.log(_shown(out))
            run.summary.update(_scores(out))
            artifact = wandb.Artifact(re.sub(r"[^A-Za-z0-9_.-]", "-", out.name)[:128], type="dataset")
            for file in dataset_files(out):
                # Immutable: not copied first, which would double what a large dataset takes on the disk.
                name = file.relative_to(out).as_posix()
                artifact.add_file(str(file), name=name, policy="immutable", skip_cache=True)
            run.log_artifact(artifact)
    except ImportError:
        raise UserError("wandb is not installed: pip install wandb, or leave --wandb out") from None
    except Exception as error:  # its own errors, network errors and files that cannot be written share no base class
        raise UserError(
            f"the dataset in '{out}' is finished, but W&B did not take it ({first_line(error)}); "
            "mend that (wandb login, or WANDB_MODE=offline) and give the same command again"
        ) from error


def _shown(out: Path) -> dict[str, Any]:
    import wandb

    columns = ["recipe", "strength", "split", "label", "photo_id", "photo", "dream", "second_dream"]
    table = wandb.Table(columns=[*columns, "score_before", "score_after"])
    for sample in sample_pairs(out, TABLE_ROWS):
        pictures = (sample.photo, sample.dream, sample.second_dream)
        table.add_data(
            *(sample.recipe, sample.strength, sample.split, sample.label, sample.photo_id),
            *(picture and wandb.Image(picture) for picture in pictures),
            *(sample.score_before, sample.score_after),
        )
    sheets = {name: wandb.Image(str(out / f"{name}.png")) for name in ("sheet", "scores")}
    return {"pairs": table, **sheets}


def _scores(out: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    for group in pair_groups(out):
        way = f"{group.recipe}/strength {group.strength:g}/{group.split}"
        values[f"{way}/pairs"] = group.pairs
        values[f"{way}/score before"] = group.mean_before
        values[f"{way}/score after"] = group.mean_after
    return values


def check_repo_id(repo_id: str) -> None:
    """Refuse a name that the Hugging Face hub would refuse; the hub is not asked.

    Raises:
        UserError: If it is not of the form you/dataset.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not in its stubs

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"--push_to_hub {repo_id!r} is no name on the hub: {first_line(error)}") from None
    if repo_id.count("/") != 1:
        raise UserError(f"--push_to_hub {repo_id!r} lacks the account; write it as you/{repo_id}")


def check_login() -> None:
    """Refuse to publish without a login; the hub is not asked.

    Raises:
        UserError: If there is no token.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise UserError("--push_to_hub needs a login at the Hugging Face hub: log in with `hf auth login`, then go on")


def push_to_hub(out: Path, repo_id: str, *, private: bool = True) -> None:
    """Publish a finished dataset on the Hugging Face hub, replacing what an earlier dataset left under the name.

    Args:
        out: The dataset's folder.
        repo_id: Its name there, you/dataset; made if it is new.
        private: For you (or your organisation) only. A name that is public already is then refused.

    Raises:
        UserError: If the name is wrong, there is no login, or the hub does not take it.
    """
    from huggingface_hub import HfApi

    check_repo_id(repo_id)
    check_login()
    api = HfApi()
    try:
        url = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        is_public = private and not api.dataset_info(repo_id).private
        if not is_public:
            api.upload_folder(
                repo_id=repo_id,
                repo_type="dataset",
                folder_path=out,
                allow_patterns=[escape(file.relative_to(out).as_posix()) for file in dataset_files(out)],
                # Shards of an earlier dataset would be read as part of this one.
                delete_patterns=[f"{DATA}/*", "guides/*", *(name for name in FINISHED if name != CARD)],
                commit_message="Dream dataset made with dreamgan",
            )
    except Exception as error:  # network and hub errors share no base class
        raise UserError(
            f"the dataset in '{out}' is finished, but the hub did not take it as {repo_id!r} ({first_line(error)}); "
            "check `hf auth whoami` and the network, and give the same command again"
        ) from error
    if is_public:
        raise UserError(f"{repo_id!r} is public on the hub already; use --public, or publish under another name")
    print(f"published as {url}")
