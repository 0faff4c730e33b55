"""Nightshift's own page, at `/`: whether the night goes well, at a glance and live.

`snapshot` reads what there is, `past` what was, `headline` says it in a sentence, `live` renders it once a second for all
open pages, `views` serves it. One set of templates makes the first paint and every change after it.
"""
