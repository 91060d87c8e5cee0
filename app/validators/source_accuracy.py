"""Accuracy on the held-out source, without the target.

Ganin et al., JMLR 2016, https://arxiv.org/abs/1505.07818 (section 5.1, early stopping)
"""
