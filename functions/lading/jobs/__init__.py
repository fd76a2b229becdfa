"""What runs beside requests, through the registry and its stores.

collect   garbage: the phases of a collection
reaping   what a collection does with one record
adoption  what an older release wrote, brought into the queues of this one
reviews   which repositories clean-up looks at in a collection, and when again
reserve   a file that collection deletes first, so that a full disk can be collected
scrub     checking all that is kept against its records
slices    long jobs in slices, one process at a time: holders tells who has ended; pace, how fast a job goes
backup    copying all that a registry has into a folder, and back
checks    of a deployment, for lading doctor: check_host what clients reach, check_stores what is behind it
cleanup   clean-up policies, repository by repository
usage     how many bytes what takes; shared, which blobs several repositories link; prices, what that costs
"""
