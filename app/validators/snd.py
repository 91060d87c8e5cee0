"""Soft neighbourhood density: how many neighbours a prediction on the target has. High also for a network that has collapsed.

Saito et al., ICCV 2021, https://arxiv.org/abs/2108.10860
"""
