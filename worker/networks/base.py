"""Network = backbone + bottleneck + head, over the dict of inputs that the modality's encoder makes."""

from torch import Tensor, nn

Inputs = dict[str, Tensor]


class Network(nn.Module):
    """Features of (n, feature_width) from encoded inputs, logits of (n, classes) from features.

    The backbone takes the inputs as they come from the encoder (uint8 pictures, raw numbers): normalisation is part of
    it, so that it is part of the ONNX graph. `blocks` lists its parts from the input to the output, for unfreezing.
    """

    def __init__(self, backbone: nn.Module, bottleneck: nn.Module, head: nn.Module, feature_width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.bottleneck = bottleneck
        self.head = head
        self.feature_width = feature_width

    def features(self, inputs: Inputs) -> Tensor:
        """(n, feature_width), what adaptation aligns."""
        features: Tensor = self.bottleneck(self.backbone(inputs))
        return features

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits (n, classes)."""
        logits: Tensor = self.head(self.features(inputs))
        return logits

    def blocks(self) -> list[nn.Module]:
        """Parts from the input to the output; the head is the last."""
        return [*self.backbone.children(), self.bottleneck, self.head]
