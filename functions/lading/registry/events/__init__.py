"""Events of changes, which the commit of a change creates."""
