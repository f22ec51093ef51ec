"""Intervals, ranks, thresholds, the e-process, the parametric tail, multiplicity, ROC."""
