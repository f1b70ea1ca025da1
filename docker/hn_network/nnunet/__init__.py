"""What nnU-Net v2 does before and after its network, so that its models find here what they find there.

The order of the steps and the numbers are those of nnunetv2 2.8.1 (nnunetv2/preprocessing, nnunetv2/inference), read
from its source and compared with it by training/tests/test_nnunet_parity.py. Arrays are *transposed*: the image turned
to the axes of the training images, [z, y, x], then permuted as the model's plans say.
"""
