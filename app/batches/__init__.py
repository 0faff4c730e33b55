"""Batches: files of requests that run over night. The bytes are under `data_dir/batches`, the state is in Redis.

`record` is the data, `store` the API's door, `validation` what comes first, `feeder` the loop that does everything else.
"""
