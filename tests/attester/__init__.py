"""Tests of the attester: which images pass, and what is written for them."""
