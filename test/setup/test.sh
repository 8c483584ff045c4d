#!/bin/sh
# `npm test`: sets up what is missing, checks the sources, runs every test project and ends with one line "N passed, N failed".
set -u
cd "$(dirname "$0")/../.."
sh test/setup/install.sh test || exit 1
PATH="$PWD/node_modules/.bin:/usr/sbin:/sbin:$PATH"
export PATH CI="${CI:-1}"
exec node test/setup/run-tests.ts "$@"
