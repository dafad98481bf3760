"""Sessions outlive the process that serves them.

`store` is where they are kept, `journal` what is kept of one, `keeper` writes for a whole
process, `resume` makes a session from what was kept.
"""
