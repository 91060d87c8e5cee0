"""Accuracy on the held-out source, weighted as the target is distributed. Unsteady where the domains lie apart.

You et al., ICML 2019, https://proceedings.mlr.press/v97/you19a.html
"""
