"""Data about vulnerabilities, and which packages have them: dumps, versions, matching, severities, VEX."""
