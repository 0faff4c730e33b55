"""How many workers there should be, for what starts and stops them: `wanted` (pure) of a `demand` (read)."""
