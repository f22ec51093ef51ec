"""What is written and read: atomic storage, tensors with JSON beside them, digests and canonical JSON."""
