"""Who may do what.

access  what a caller may do to a repository
"""
