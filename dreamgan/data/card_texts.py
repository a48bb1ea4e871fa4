"""The parts of a dataset card that are the same for every dataset, but for what ``string.Template`` fills in."""

COLUMNS = """\
## Columns

| column | type | meaning |
|---|---|---|
| `photo` | picture | RGB, 8 bit, stored without loss |
| `dream` | picture | its dream, of the same size |
| `second_dream` | picture or null | another dream of the same photo, with another seed; on some test pairs |
| `label` | class, or text | the photo's class; null or empty without one |
| `photo_id` | text | names the photo; unique, save that each recipe may have dreamed it |
| `source_id` | text | the photograph that it was cut from |
| `photo_sha256` | text | SHA-256 of width, height and pixels of the photo as it was found, upright and not yet scaled |
| `recipe` | text | name of the recipe, see above |
| `strength` | float64 | share of the recipe's steps that were run, in (0, 1] |
| `recipe_json` | text | the whole recipe as JSON |
| `backbone` | text | the network |
| `layers` | text | its target layers, with commas |
| `weights` | text | what the network's weights are called |
| `weights_sha256` | text | SHA-256 of their file |
| `guides` | text | JSON: name of a guide picture to the SHA-256 of its pixels |
| `seed` | int64 | seed of the dream |
| `second_seed` | int64 or null | seed of the second dream |
| `score_before` | float32 | the recipe's objective on the photo |
| `score_after` | float32 | the same on the dream |"""

LOAD = """\
## Load it

```python
from datasets import load_dataset

DATASET = "path/to/this/folder"  # or its name on the Hugging Face hub
pairs = load_dataset(DATASET, split="train")
pairs[0]["photo"], pairs[0]["dream"]  # PIL pictures
```"""

CEILING = """\
## Floor and ceiling

Two dreams of one photo with different seeds differ. How much they agree, by the cosine of the network's features, is
the *ceiling* for a network that dreams in one pass; the untouched photo is the *floor*; its *agreement* is
(cosine - floor) / (ceiling - floor). Both can be computed from the test pairs that have a second dream:

```python
import torch
from datasets import load_dataset
from dreamgan.backbones.features import load_extractor
from dreamgan.dream import DreamRecipe
from dreamgan.images import to_unit
from dreamgan.metrics import cosines, feature_vectors

DATASET = "path/to/this/folder"  # or its name on the Hugging Face hub
RECIPE, STRENGTH = $recipe, $strength
$weights

pairs = load_dataset(DATASET, split="test").filter(
    lambda recipe, strength, second_seed: recipe == RECIPE and strength == STRENGTH and second_seed is not None,
    input_columns=["recipe", "strength", "second_seed"],
)
recipe = DreamRecipe.from_json(pairs[0]["recipe_json"])
extractor = load_extractor(pairs[0]["backbone"], recipe.layer_names, weights=WEIGHTS)
assert extractor.weights_sha256 == pairs[0]["weights_sha256"]
floor, ceiling = [], []
with torch.no_grad():
    for pair in pairs:
        photo, dream, second = (
            feature_vectors(to_unit(pair[name])[None], extractor, recipe) for name in ("photo", "dream", "second_dream")
        )
        floor.append(float(cosines(photo, dream)))
        ceiling.append(float(cosines(second, dream)))
print(f"{len(pairs)} pairs, floor {sum(floor) / len(pairs):.3f}, ceiling {sum(ceiling) / len(pairs):.3f}")
```"""

DREAM_AGAIN = """\
```python
from datasets import load_dataset
from dreamgan.backbones.features import load_extractor
from dreamgan.dream import DreamRecipe, dream
from dreamgan.images import ${reader}to_picture, to_unit

DATASET, RECIPE = "path/to/this/folder", $recipe
$weights

pairs = load_dataset(DATASET, split=$split)
pair = next(pair for pair in pairs if pair["recipe"] == RECIPE)
recipe = DreamRecipe.from_json(pair["recipe_json"])
extractor = load_extractor(
    pair["backbone"], recipe.layer_names, weights=WEIGHTS, batch_norms=recipe.objective.needs_batch_norms
)
assert extractor.weights_sha256 == pair["weights_sha256"]
${guides}photo, names = to_unit(pair["photo"])[None], [pair["photo_id"]]
result = dream(photo, extractor, recipe, ${argument}seed=pair["seed"], photo_ids=names, strength=pair["strength"])
to_picture(result.images[0]).save("again.png")
```"""

GUIDES = """\
folder = f"{DATASET}/guides"  # a local one
guides = {
    name: to_unit(load_image(f"{folder}/{RECIPE}-{name}.png").picture)[None] for name in recipe.objective.guides
}
"""

LIMITS = """\
## Limitations and biases

- The dreams are made by a machine. They are not photographs, and show what their network has learned to see: one that
  was trained on ImageNet puts its thousand classes, more than a hundred of them breeds of dog, into every scene.
- Classes, regions and subjects of the photos are those of their sources, which this card cannot judge. Where photos
  show people, faces come out distorted: do not use the pictures to identify or to depict persons.
- Scores of different recipes, networks and layers are of different scale and cannot be compared.
- Dreams depend on small differences: another seed gives another dream, so that the error against one dream is a poor
  measure. Compare with floor and ceiling.
- Crops of one photograph are not independent samples."""
