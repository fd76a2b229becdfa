"""One suite for all drivers of the stores, and what each driver promises beyond it."""
