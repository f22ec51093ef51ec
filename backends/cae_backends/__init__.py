"""Models of torch and ONNX Runtime behind the protocols of `cae_core.models`; data sets; training."""
