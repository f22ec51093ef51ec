"""Seal, claim, regeneration, judgement: what holds between two parties."""
