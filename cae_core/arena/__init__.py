"""Methods that tell copies from independent models, ours and rivals, asked and calibrated alike (docs/arena.md)."""
