"""Pretrained encoders that the service knows: the catalogue, which are installed, and how to get one."""
