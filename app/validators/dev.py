"""Accuracy on the held-out source, weighted by the density ratio of the domains. High variance for distant domains.

You et al., ICML 2019, https://proceedings.mlr.press/v97/you19a.html
"""
