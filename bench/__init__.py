"""What Nightshift costs beside Claude itself: the gateway and bare loops over the same simulator, in turns."""
