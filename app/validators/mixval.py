"""Share of mixtures of two target inputs that keep the prediction of the nearer one, inside classes and across them.

Hu et al., NeurIPS 2023, https://openreview.net/forum?id=ackajXqei2
"""
