"""V-measure of the predicted classes and of k-means clusters of the features, on the target.

Ericsson et al., AutoML 2023; Rosenberg and Hirschberg, EMNLP 2007, https://aclanthology.org/D07-1043
"""
