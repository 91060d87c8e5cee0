"""Nuclear norm of the predictions on the target. High for confident predictions of many classes.

Cui et al., CVPR 2020, https://arxiv.org/abs/2003.12237; as a validator: Musgrave et al., 2022, https://arxiv.org/abs/2208.07360
"""
