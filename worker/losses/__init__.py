"""Losses and diagnostics as pure functions of tensors, grouped by input: domain logits, features, class logits."""
