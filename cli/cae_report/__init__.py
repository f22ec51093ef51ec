"""The report of one verdict: gathered from the verdict, the fingerprint and its calibration, and drawn as one page."""
