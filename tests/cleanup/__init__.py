"""Clean-up policies, in-use reports and last pulls: what they delete, what they keep, and what they cost."""
