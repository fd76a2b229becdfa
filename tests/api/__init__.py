"""The API, request by request, in this process and on both pairs of stores.

client              a request in, an answer out, without a server
bad                 what a row of the tables of bad requests is
bad_*               the tables: requests that must be refused and change nothing
test_bad_requests   asks every row
test_*              what each endpoint answers
test_fuzz           random requests
"""
