"""Domain-adversarial training of neural networks."""

from typing import ClassVar, Literal

from app.algorithms.base import AdversarialParams


class DannParams(AdversarialParams):
    """DANN: a domain classifier behind a gradient-reversal layer makes the features of source and target alike."""

    paper: ClassVar[str | None] = "Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818"

    algorithm: Literal["dann"] = "dann"
