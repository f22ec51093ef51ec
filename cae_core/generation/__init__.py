"""Making a fingerprint: white boxes, seeds, search, acceptance."""
