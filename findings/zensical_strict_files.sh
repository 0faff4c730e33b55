#!/usr/bin/env bash
# zensical 0.0.73 beside MkDocs 1.6.1, whose sites it builds as they are: what `build --strict` lets pass.
#
# One page shows an image, and links to a PDF, another page and a heading. None of the four is there.
#
# Expected: both refuse each of the four, since zensical has the links' check and `--strict` of MkDocs.
#
# Seen: MkDocs refuses the image, the PDF and the page. zensical refuses the page and the heading, says "No issues found" for the image and
# the PDF, and ends with 0: whoever moves a site over loses the check of its files. (scripts/docs-pages looks at all of them itself.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check zensical==0.0.73 mkdocs==1.6.1 2>/dev/null
printf 'site_name: Site\n' >mkdocs.yml

# built PROGRAM MARKDOWN: what `build --strict` says of a page
built() {
    rm -rf docs site
    mkdir docs
    printf '# Page\n\n%s\n' "$2" >docs/index.md
    if "venv/bin/$1" build --strict >out 2>&1; then echo passed; else echo refused; fi
}
for page in '![diagram](missing.png)' '[paper](missing.pdf)' '[next](missing.md)' '[below](#missing)'; do
    echo "$page: mkdocs $(built mkdocs "$page"), zensical $(built zensical "$page")"
done | tee seen
diff seen - <<'SEEN'
![diagram](missing.png): mkdocs refused, zensical passed
[paper](missing.pdf): mkdocs refused, zensical passed
[next](missing.md): mkdocs refused, zensical refused
[below](#missing): mkdocs passed, zensical refused
SEEN
