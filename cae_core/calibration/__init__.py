"""What a fingerprint knows of models that had no part in it: calibrating, its file, scores, screening."""
