"""The lab folder and what lies in it."""
