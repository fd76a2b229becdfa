"""What runs beside requests, through the registry and its stores.

collect   garbage: the phases, in slices, one process at a time
reaping   what a collection does with one record
backup    copying all that a registry has into a folder, and back
checks    of a deployment, for lading doctor: check_host what clients reach, check_stores what is behind it
"""
