"""Entropy of the mean prediction on the target, less the mean entropy of the predictions: sure of each, of all classes.

Musgrave et al., 2021, https://arxiv.org/abs/2111.15672; Shi and Sha, ICML 2012, https://arxiv.org/abs/1206.6438
"""
