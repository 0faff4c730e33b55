"""Breaks a whole offline stack at random, reproducibly, and says what was lost. Nothing of the product imports it."""
