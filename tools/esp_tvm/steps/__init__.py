"""The steps behind the make targets: what is up to date, where products go, in which environment scripts run.

Only the standard library: this runs before set-up, with whatever Python (3.8 or later) is there.
"""
