"""Negative mean entropy of the predictions on the target. Also high for a network that is confidently wrong.

Morerio et al., ICLR 2018, https://arxiv.org/abs/1711.10288; worse than most others in Ericsson et al., AutoML 2023
"""
