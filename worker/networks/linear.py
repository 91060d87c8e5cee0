"""Linear model. The features are the standardised columns, then the scores of the classes by the terms."""

import torch
from torch import Tensor, nn

from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.tabular import TabularPreprocessing
from app.modalities.text import TextPreprocessing
from app.networks.linear import LinearParams
from worker.networks.base import Inputs, Network
from worker.networks.layers import DomainScaler, TableColumns, TfidfEmbedding


class ColumnsAndTerms(nn.Module):
    """Maps inputs to the columns of a table, then the sum of the class scores (n, classes) of the terms."""

    def __init__(self, columns: TableColumns | None, terms: TfidfEmbedding | None) -> None:
        super().__init__()
        self.columns, self.terms = columns, terms
        self.width = (columns.width if columns else 0) + (terms.width if terms else 0)

    def forward(self, inputs: Inputs) -> Tensor:
        return torch.cat([part(inputs) for part in (self.columns, self.terms) if part is not None], dim=1)


def build(params: LinearParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """Build the network. Without columns, the head is a map of the scores of the terms."""
    assert isinstance(preprocessing, TextPreprocessing | TabularPreprocessing)
    columns = TableColumns(preprocessing) if isinstance(preprocessing, TabularPreprocessing) else None
    terms = TfidfEmbedding(preprocessing.vocabulary_size, classes) if preprocessing.vocabulary_size else None
    backbone = ColumnsAndTerms(columns if columns and columns.width else None, terms)
    scaler = DomainScaler(backbone.width, has_map=params.source_map)
    return Network(backbone, scaler, nn.Linear(backbone.width, classes), backbone.width)
