"""How a diagnosis is fitted to labels where nothing else is asked for: our way, and the published one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orthodx.requests import RecipeName


@dataclass(frozen=True, kw_only=True)
class StageOne:
    """How encoder and head of a view are fitted.

    augment: images are mirrored, shifted and their light changed. balance: positives and negatives of a label weigh the
    same. standardise: the head sees features of mean 0 and standard deviation 1. descent: epochs of Adam that fit a
    head to what a frozen encoder gives; 0 fits its last layer by logistic regression, whose strength is chosen out of
    fold, and its attention, if it has one, before it. rate: peak learning rate of the descent.
    """

    augment: bool = True
    balance: bool = True
    standardise: bool = True
    descent: int = 0
    rate: float = 5e-4


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """head: registered name; None goes on with that of the bundle. region: slices, rows and columns. whole: as in
    `RegionSpec`. timestep: of the images that are read. epochs, learning_rate: of encoder and head together.
    """

    head: str | None = None
    region: tuple[int, int, int] = (28, 128, 128)
    whole: bool = False
    timestep: int = 0
    epochs: int = 5
    learning_rate: float = 6e-4
    stage_one: StageOne = StageOne()


OURS = Recipe()
PUBLISHED = Recipe(
    head="sap",
    region=(16, 256, 256),
    whole=True,
    timestep=100,
    learning_rate=5e-4,
    stage_one=StageOne(augment=False, balance=False, standardise=False, descent=10),
)  # arXiv 2602.20752
RECIPES: Mapping[RecipeName, Recipe] = MappingProxyType({RecipeName.OURS: OURS, RecipeName.PUBLISHED: PUBLISHED})
ITS_OWN: Mapping[str, RecipeName] = MappingProxyType({"published": RecipeName.PUBLISHED})  # encoder -> its authors'


def recipe_of(asked: RecipeName | None, encoder: str) -> Recipe:
    """The recipe asked for, else the encoder's own, else ours."""
    return RECIPES[asked or ITS_OWN.get(encoder, RecipeName.OURS)]
