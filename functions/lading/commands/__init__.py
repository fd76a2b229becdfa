"""The commands of `lading`, a file each.

serve    serve the registry
init     make a registry and its first user
history  history, rollback
deleted  delete, deleted, undelete
cleanup  plan and apply the clean-up policies
running  report what runs, list it, forget it
du       count bytes
gc       collect garbage
scrub    check all that is kept against its records
backup   backup, restore, promote
users    the file of users, where no Google is
robots   create, list, rotate and revoke credentials of our own
keys     rotate the keys that sign tokens
access   explain-access, login-help
progress the line that shows how far a command is
options  what they share: options from the settings
"""
