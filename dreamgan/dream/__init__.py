"""Dreams: recipes, objectives and the engine that runs them."""

from dreamgan.dream.engine import DreamResult, DreamStep, dream, score
from dreamgan.dream.objectives import Objective, parse_objective
from dreamgan.dream.recipe import DreamRecipe, parse_layers
from dreamgan.dream.recipes import RECIPES, get_recipe

__all__ = [
    "RECIPES",
    "DreamRecipe",
    "DreamResult",
    "DreamStep",
    "Objective",
    "dream",
    "get_recipe",
    "parse_layers",
    "parse_objective",
    "score",
]
