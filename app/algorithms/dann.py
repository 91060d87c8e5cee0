"""Domain-adversarial training of neural networks."""

from typing import ClassVar, Literal

from app.algorithms.base import AdversarialParams


class DannParams(AdversarialParams):
    """DANN: align the features of source and target with a discriminator behind a gradient-reversal layer."""

    paper: ClassVar[str | None] = "Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818"

    algorithm: Literal["dann"] = "dann"
