"""The morning report of a batch, made of what others have written: it reads the storage and the history, and writes nothing."""
