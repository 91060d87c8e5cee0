"""Minus the mean entropy of the predictions on the target. High also for a network that is sure and wrong.

Morerio et al., ICLR 2018, https://arxiv.org/abs/1711.10288; in Ericsson et al., AutoML 2023, behind most others
"""
