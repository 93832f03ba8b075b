"""Trials of one promise: after the answer to a change, no worker answers a later request from what was before."""
