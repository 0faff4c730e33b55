"""What comes in becomes lines at upload: `line` is the one shape that everything behind it knows.

Lines themselves come in as they are. A table becomes lines by a `template`; the formats that tables have are in `tables.FORMATS`.
"""
