"""What runs beside requests, through the registry and its stores.

collect   garbage: the phases of a collection
reaping   what a collection does with one record
scrub     checking all that is kept against its records
slices    long jobs in slices, one process at a time
backup    copying all that a registry has into a folder, and back
checks    of a deployment, for lading doctor: check_host what clients reach, check_stores what is behind it
cleanup   clean-up policies, repository by repository
usage     how many bytes what takes; prices, what that costs
"""
