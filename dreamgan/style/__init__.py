"""Style transfer by optimisation, as the papers have it: plain torch, no training framework."""

from dreamgan.style.comparison import Comparison
from dreamgan.style.recipe import StyleRecipe, get_style_recipe
from dreamgan.style.transfer import Pass, StyleResult, transfer_style

__all__ = ["Comparison", "Pass", "StyleRecipe", "StyleResult", "get_style_recipe", "transfer_style"]
