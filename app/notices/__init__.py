"""Messages to people: what is to be said of batches, once, and the outbox that keeps it until it is sent.

Nothing announces anything: what has become of the batches is compared with what was said of it. So a message is neither lost with a process
nor said twice by another, and what was over before anybody would have cared is not said.
"""
