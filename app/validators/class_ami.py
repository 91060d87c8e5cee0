"""Adjusted mutual information of the predicted classes and of k-means clusters initialised at the class centroids, on the target.

Musgrave et al., 2022, https://arxiv.org/abs/2208.07360
"""
