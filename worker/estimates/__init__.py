"""What is said of a network's accuracy on the target without a label of it, and how far it is to be believed.

Everything here is a pure function of the evidence (`worker.evaluation.outputs`): no labels of the target, no training state. Only
`floor` needs torch. What is found is reported as an estimate with an interval, never as a measured accuracy: without
an assumption about the shift no method can be right (Garg et al., ICLR 2022, https://arxiv.org/abs/2201.04234, corollary 1).
"""
