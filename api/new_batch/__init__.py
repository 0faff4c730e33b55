"""`/batches/new`: a batch made from a table in a browser. A table is uploaded, a prompt is written for its rows, and some are tried.

`table` looks at what was uploaded, `prompt` at what was written, `making` makes the batch of both, and `views` are the pages.
"""
