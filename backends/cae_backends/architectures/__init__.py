"""The classifiers of the report, untrained or with ImageNet weights: in Keras `report_keras`, in torch `report_torch`.

Nothing here imports a framework: each of the two modules is imported by whoever builds models of its framework.
"""

from cae_backends.architectures.options import REPORT_ARCHITECTURES, ImageShape, PretrainedWeights

__all__ = ["REPORT_ARCHITECTURES", "ImageShape", "PretrainedWeights"]
