"""`dreamgan compare`: the same photos, dreamed and painted in every way, on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

SAMPLES = "samples"
STOPPED = (0.125, 0.25, 0.5, 0.75)


def compare(
    photos: str = SAMPLES,
    out: str = "runs/compare",
    recipe: str = "distillable",
    second_recipe: str = "gordic",
    backbone: str = "mobilenet_v2",
    weights: str | None = None,
    guide: str | None = None,
    style: str | None = None,
    style_backbone: str = "vgg16",
    style_weights: str | None = None,
    passes: int = 100,
    generator: str | None = None,
    noise_generator: str | None = None,
    style_generator: str | None = None,
    referee_weights: str | None = None,
    wandb: str | None = None,
    limit: int | None = None,
    max_side: int = 224,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Change photos in every way, measure what each gives and costs, and write a page to look at.

    Example: dreamgan compare --photos holiday/ --limit 8 --out runs/compare

    The ways: the photo; direct dreams of two recipes, one of them also stopped early and with another seed; a guided
    dream; one pass of a generator in all its styles; a DCGAN's sample that is nearest to the photo; style transfer by
    Gatys, by Magenta's networks and by a network trained for one style. A way whose weights, generator or package is
    missing is left out, and the page says what to give.

    Written: report.html, which needs nothing beside it, compare.csv, compare.json, speed.svg (its plot alone) and
    pictures/. Every finished picture is kept: the same command, given again after it was stopped, goes on there.

    Args:
        photos: A picture, a folder of pictures, or samples: the photographs that scikit-image and scikit-learn carry.
        out: Folder for all of it.
        recipe: Recipe of the direct dream that the others are held against.
        second_recipe: Another one, shown beside it.
        backbone: Network of both.
        weights: File with its weights (.safetensors or .pth). Default: torchvision's own, from its cache or downloaded.
        guide: Guide picture of the guided dream. Default: a dahlia that scikit-learn carries.
        style: Style picture. Default: the same dahlia.
        style_backbone: Network of Gatys' style transfer.
        style_weights: File with its weights. Default: torchvision's own, from its cache or downloaded.
        passes: Of Gatys' style transfer, at each of its two sizes.
        generator: Folder of a generator that dreams photos. Default: the one that comes with the package.
        noise_generator: Folder of a generator that dreams from noise. Default: the one that comes with the package.
        style_generator: Folder of a generator trained for one style. Default: that way is left out.
        referee_weights: File of the network that judges as well: vgg16, or inception_v3 for dreams of a VGG; also
            NETWORK=FILE with commas between. NETWORK=download fetches torchvision's own. Default: torchvision's own if
            they are in its cache, else no referee.
        wandb: W&B project to log the measures and the pictures to, as tables.
        limit: Take the first so many photos. Default: all.
        max_side: Photos with a longer side are shrunk to it, in pixels.
        seed: Of the dreams; the second dream has the next one.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from pathlib import Path

    from tqdm import tqdm

    from dreamgan.backbones.features import load_extractor
    from dreamgan.backbones.files import named_files
    from dreamgan.backbones.registry import get_spec
    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.commands.pictures import write_rejects
    from dreamgan.compare import ways as each
    from dreamgan.compare.gathering import gather
    from dreamgan.compare.measuring import KID_PHOTOS, measure_ways
    from dreamgan.compare.plot import speed_picture
    from dreamgan.compare.publish import log_comparison
    from dreamgan.compare.report import write_report, write_tables
    from dreamgan.data.samples import photo_file
    from dreamgan.devices import pick_device
    from dreamgan.dream import get_recipe
    from dreamgan.errors import UserError
    from dreamgan.files import write_text
    from dreamgan.generators import NOISE, generator_folder
    from dreamgan.images import MIN_SIDE_PX, load_image, shrink_to, to_unit
    from dreamgan.making.publish import prepare_wandb
    from dreamgan.metrics.referee import load_referee, referee_for
    from dreamgan.sampling import load_generator
    from dreamgan.style import Comparison, get_style_recipe

    at_least(1, passes=passes, limit=limit)
    at_least(MIN_SIDE_PX, max_side=max_side)
    check_seed(seed)
    if recipe == second_recipe or "guided" in (recipe, second_recipe):
        raise UserError(
            f"--recipe is {recipe} and --second_recipe {second_recipe}; give two that differ (a guided dream is among "
            "the ways always)"
        )
    if wandb == "":
        raise UserError("--wandb is empty; give the name of a W&B project")
    where, folder, name = pick_device(device), out_folder(out), get_spec(backbone).name
    reference = get_recipe(recipe, name)
    painter = get_spec(style_backbone).name
    painting = get_style_recipe(painter, passes=passes)
    extractor = load_extractor(name, reference.layer_names, weights=weights, device=where)
    referee_file = named_files(referee_weights, "referee_weights")(referee_for(name)[0])
    referee, no_referee = load_referee(name, referee_file, where)
    looked_at = shrink_to(load_image(Path(style) if style else photo_file("flower")).picture, max_side)
    guiding = shrink_to(load_image(Path(guide) if guide else photo_file("flower")).picture, max_side)
    styled = to_unit(looked_at)[None]
    direct = each.direct_dream(reference, name, weights, where, seed=seed)
    again = each.direct_dream(reference, name, weights, where, seed=seed + 1)
    ways = [each.photo()]
    # With the ceiling's seed: the reference's own shifts would bring them nearer to it than any other way can come.
    ways += [each.direct_dream(reference, name, weights, where, seed=seed + 1, strength=share) for share in STOPPED]
    ways += [again, direct, each.direct_dream(get_recipe(second_recipe, name), name, weights, where, seed=seed)]
    guided = get_recipe("guided", name)
    ways.append(each.direct_dream(guided, name, weights, where, seed=seed, guide=to_unit(guiding)[None]))
    try:
        shipped = generator_folder(generator)
        styles = list(load_generator(shipped).styles)
        ways += [each.one_pass(shipped, where, one) for one in styles]
        ways += [each.one_pass(shipped, where, styles[0], strength) for strength in (0.5, 1.5)]
    except UserError as error:
        if generator is not None:
            raise
        ways.append(each.missing("one-pass", "one pass", str(error)))
    layer = extractor.deepest(reference.layer_names)
    ways.append(each.nearest_sample(generator_folder(noise_generator or NOISE), name, layer, weights, where))
    ways += [each.gatys(painting, painter, style_weights, where, styled, seed=seed), each.magenta(looked_at)]
    if style_generator is not None:
        ways.append(each.feed_forward(Path(style_generator).expanduser(), where))
    else:
        lacks = "give --style_generator FOLDER, trained by feedforward_style.yaml"
        ways.append(each.missing("feed-forward", "feed-forward style", lacks))
    each.check_names(ways)
    rejects: list[tuple[str, str]] = []
    loaded = _photos(photos, folder, limit, max_side, rejects)
    with tqdm(total=len(loaded) * len(ways), unit="picture", disable=None) as bar:

        def tell(line: str) -> None:
            bar.write(line)
            bar.update()

        gathered = gather(loaded, ways, folder / "pictures", tell, where)
    judge = None
    if not any(way.startswith("gatys") for way in gathered.missing):
        only = get_style_recipe(painter, content_weight=0.0)
        network = load_extractor(painter, only.layer_names, weights=style_weights, device=where)
        judge = Comparison(network, only, styled.to(where))
    held_against = {"dream": direct.name, "second": again.name}
    rows = measure_ways(gathered, ways, reference, extractor, **held_against, style=judge, referee=referee)
    write_tables(folder, rows, gathered)
    if plot := speed_picture(rows):
        write_text(folder / "speed.svg", plot)
    on = f"Made on {where}, pictures of at most {max_side} px; times are without loading networks."
    told = f"dreams of {reference.name} in {name} ({', '.join(reference.layer_names)})"
    remarks = [f"The referee is {referee.label}." if referee else f"No referee agreement: {no_referee}."]
    if len(loaded) < KID_PHOTOS:
        remarks.append(f"No KID: it takes {KID_PHOTOS} photos or more.")
    write_report(folder / "report.html", rows, gathered, ways, reference=told, about=on, remarks=remarks)
    write_rejects(rejects, folder)
    if wandb is not None:
        prepare_wandb(folder)
        log_comparison(folder, rows, gathered, wandb)
    for row in rows:
        print(f"{row.label}: {row.seconds:.3g} s, agreement {row.agreement:.2f}, content kept {row.content_kept:.2f}")
    print(f"open {folder / 'report.html'}")


def _photos(
    photos: str, out: Path, limit: int | None, max_side: int, rejects: list[tuple[str, str]]
) -> dict[str, Tensor]:
    """Name of each photo to (1, 3, H, W) in [0, 1]."""
    import itertools

    from dreamgan.commands.pictures import Job, loaded_batches, plan
    from dreamgan.data.samples import SAMPLE_PHOTOS, photo_file
    from dreamgan.images import to_unit

    if photos == SAMPLES:
        files = {name: photo_file(name) for name in SAMPLE_PHOTOS}
        jobs = [Job(name, file, out / f"{name}.png") for name, file in files.items()]
    else:
        jobs = plan(photos, out)
    names: dict[Job, str] = {}
    for job in jobs:
        # Of a folder's name and a photo's, and of names that are not UTF-8, the same may come out.
        plain = str(job.target.relative_to(out).with_suffix("")).replace("/", "_")
        plain = plain.encode("utf-8", "replace").decode()
        again = sum(name == plain or name.startswith(f"{plain}~") for name in names.values())
        names[job] = f"{plain}~{again + 1}" if again else plain
    groups = loaded_batches(jobs[:limit], batch=1, max_side=max_side, rejects=rejects)
    return {names[job]: to_unit(loaded.picture)[None] for job, loaded in itertools.chain.from_iterable(groups)}
