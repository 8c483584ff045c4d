#!/bin/sh
# `npm run demo`: sets up what is missing, makes a base image from the machine's busybox, builds fixtures/demo, runs the image, and builds it again to show the cache.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup/install.sh demo
PATH="$PWD/node_modules/.bin:/usr/sbin:/sbin:$PATH"
export PATH
npm run --silent build

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TSBUILD_ROOT=${TSBUILD_ROOT:-$work/store}
export TSBUILD_ROOT
tsbuild=$PWD/src/bin/tsbuild
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

say "a base image, from this machine's busybox"
mkdir "$work/base"
cp fixtures/demo/base/Dockerfile "$work/base/"
cp "$(command -v busybox)" "$work/base/busybox"
"$tsbuild" -t tsbuild-demo/base "$work/base"

say "tsbuild -t tsbuild-demo/site fixtures/demo"
"$tsbuild" -t tsbuild-demo/site --metadata-file "$work/first.json" fixtures/demo

say "tsbuild run tsbuild-demo/site"
"$tsbuild" run tsbuild-demo/site

say "the same build again: every step comes from the cache"
start=$(date +%s%N)
"$tsbuild" -t tsbuild-demo/site --metadata-file "$work/second.json" fixtures/demo
end=$(date +%s%N)
printf '\nthe second build took %d ms\n' $(( (end - start) / 1000000 ))
cmp -s "$work/first.json" "$work/second.json" && echo "both builds made the same image: $(grep -o '"containerimage.digest": *"[^"]*"' "$work/second.json")"
