"""Adjusted mutual information of the predicted classes and of k-means clusters of the features, on the target.

Ericsson et al., AutoML 2023; Vinh et al., JMLR 2010, https://jmlr.org/papers/v11/vinh10a.html
"""
