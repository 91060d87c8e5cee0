"""Losses and diagnostics as pure functions of tensors, by their inputs: domain logits, features, class logits."""
