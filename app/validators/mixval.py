"""Fraction of mixtures of two target inputs predicted as the dominant input, within and across classes.

Hu et al., NeurIPS 2023, https://openreview.net/forum?id=ackajXqei2
"""
