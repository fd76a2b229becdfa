"""Who may do what.

access         the words that all share: Action, Decision, Caller, Authorizer, Door
door           who sent a request, and tokens for what they may do
credentials    what clients send to say who they are; service_account_keys makes tokens of keys
scopes         what they ask a token for
tokens, keys   the registry's own tokens (token_claims is what is in them), and what signs them
iam            callers by Google's tokens; where IAM is asked is policy_bucket or project
google         the calls to Google; asker is the caller for whom they are made, with token and share
google_tokens  what a token says of itself: a principal, or a pseudonym, and scopes
managed_folders which folders the policy bucket has; folder_answers caches Google's replies about them
local          callers by a file of users and a file of grants
access_files   the texts of those; users_file changes the one, watched_file reads both again
passwords      checks of passwords, with login_delay after failures
id_tokens      Google's ID tokens, which only say who somebody is
scheduler      Cloud Scheduler's calls
robots         credentials of our own; robot_cache has those at hand
patterns       of repository names
cache          answers that are remembered for a short while
bulkhead       bounds slow work, with a fair share for each client
recent_logins  callers that logged in lately
leaky_counters how often something happened lately; guess_limit bounds by them what may be guesses
"""
