"""Entropy of the mean prediction minus mean entropy on the target. High for confident predictions of all classes.

Musgrave et al., 2021, https://arxiv.org/abs/2111.15672; Shi and Sha, ICML 2012, https://arxiv.org/abs/1206.6438
"""
