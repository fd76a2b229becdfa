"""Clean-up policies: parsing, evaluation and deletion."""
