"""Batches: files of requests that run over night. The bytes are in a `storage`, the state is in Redis.

`record` is the data, `lifecycle` all that can happen to it, `store` the API's door, `feeder` the loop that does everything else.
"""
