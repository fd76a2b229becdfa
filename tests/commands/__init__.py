"""The command line: tables, errors, exit statuses, confirmations and completion."""
