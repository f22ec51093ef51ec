"""Asking a suspect: examination, evidence, decision, verdict, replay, ledger."""
