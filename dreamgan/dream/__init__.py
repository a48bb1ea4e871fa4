"""Dreams: recipes, objectives and the engine that runs them."""

from dreamgan.dream.engine import DreamResult, DreamStep, dream, score
from dreamgan.dream.recipe import RECIPES, DreamRecipe, get_recipe, parse_layers

__all__ = ["RECIPES", "DreamRecipe", "DreamResult", "DreamStep", "dream", "get_recipe", "parse_layers", "score"]
