"""Estimates of a network's target accuracy without target labels, and of their reliability.

Every function is pure: it reads `worker.evaluation.outputs`, no target labels and no training state. Only `accuracy_bound`
needs torch. Results are reported as an estimate with an interval, never as a measured accuracy. No method can be right without
an assumption about the shift (Garg et al., ICLR 2022, https://arxiv.org/abs/2201.04234, corollary 1).
"""
