#!/usr/bin/env bash
# jsonschema-rs 0.60.3 beside jsonschema 4.26.0, Python 3.11: `contentEncoding` and `contentMediaType` in a schema.
#
# Draft 6 has no such keywords, and what a draft does not have is ignored. Draft 7 lets a validator check them, if there is a way
# to turn that off; since 2019-09 they are annotations.
#
# Expected: draft 6 ignores them. Draft 7 says the same as the later drafts, since the README names no check of them, only the
# one of `format`; or `validate_formats=False` turns a check off.
#
# Seen: in drafts 6 and 7 jsonschema-rs refuses values that do not fit, with `validate_formats=False`, too, and in the others
# it does not. jsonschema takes the value in all drafts. So the `$schema` that a client's library writes decides whether an
# answer is valid.
# What works: leave the two keywords out, or name a later draft, before the schema is compiled.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jsonschema-rs==0.60.3 jsonschema==4.26.0 2>/dev/null
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import jsonschema
import jsonschema_rs

DRAFTS = {
    "4": "http://json-schema.org/draft-04/schema#",
    "6": "http://json-schema.org/draft-06/schema#",
    "7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}
CASES = [({"contentEncoding": "base64"}, "not base64!", "aGVsbG8="), ({"contentMediaType": "application/json"}, "{", "{}")]

for draft, url in DRAFTS.items():
    for keyword, other, fitting in CASES:
        schema = {"$schema": url, "type": "object", "properties": {"value": {"type": "string"} | keyword}}
        rust = jsonschema_rs.validator_for(schema)
        without = jsonschema_rs.validator_for(schema, validate_formats=False)
        python = jsonschema.validators.validator_for(schema)(schema)
        python.check_schema(schema)
        found = [validator.is_valid({"value": other}) for validator in (rust, without, python)]
        print(draft, keyword, repr(other), "- jsonschema-rs, the same without formats, jsonschema:", *found)
        checked = draft in ("6", "7")
        assert found == [not checked, not checked, True]
        assert all(validator.is_valid({"value": fitting}) for validator in (rust, without, python))
print("as described")
PYTHON
