"""The graphs of a version: a file for each precision that it can be served in."""

from collections.abc import Mapping
from typing import Literal

Precision = Literal["float32", "float16", "int8"]

GRAPHS: Mapping[Precision, str] = {"float32": "model.onnx", "float16": "model.fp16.onnx", "int8": "model.int8.onnx"}
"""Every version has the first; what others it has, its artifacts tell."""

WEIGHTS_FILE = "network.safetensors"
