"""Classifiers by name: the report's (`report_keras`, `report_torch`), and small ones (`small_keras`, `small_torch`).

The report's are untrained or have ImageNet weights. Nothing here imports a framework: each module is imported by who
builds models of its framework.
"""

from cae_backends.architectures.options import REPORT_ARCHITECTURES, ImageShape, PretrainedWeights

__all__ = ["REPORT_ARCHITECTURES", "ImageShape", "PretrainedWeights"]
