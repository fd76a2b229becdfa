"""Jobs that run beside requests: garbage collection, scrub, usage, backup, restore and doctor."""
