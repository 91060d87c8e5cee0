"""Soft neighbourhood density of the predictions on the target. Also high for a collapsed network.

Saito et al., ICCV 2021, https://arxiv.org/abs/2108.10860
"""
