"""A proxy before Redis that loses requests and replies, or lets them come late. For tests, and for the chaos runs.

`resp` finds the ends of requests and replies, `plans` says what befalls a request, `proxy` carries it out.
"""

from chaos.lossy.plans import AtRandom, Kind, Loss, Nth, Once
from chaos.lossy.proxy import LossyProxy
from chaos.lossy.resp import Request

__all__ = ["AtRandom", "Kind", "Loss", "LossyProxy", "Nth", "Once", "Request"]
