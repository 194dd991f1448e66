"""Trains what the package carries and what users want for their own domain: one recipe, one command.

from describer.training import train
train("training/recipes/captioner.yaml")        # resumes where it was stopped
"""

from pathlib import Path


def train(recipe: str | Path, resume: bool = True) -> Path:
    """Carries out a recipe and returns the folder with the weights; raises RecipeError where it cannot."""
    from describer.training.recipe import carry_out

    return carry_out(recipe, resume)
