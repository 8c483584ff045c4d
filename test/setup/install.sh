#!/bin/sh
# Brings a Debian machine to the point where the demo ("demo") or all tests ("test") can run: npm packages by the lockfile, then Debian packages.
# Installs only what is missing. Not root: says exactly what to install, and fails.
set -eu
cd "$(dirname "$0")/../.."
purpose=${1:-test}

if [ ! -x node_modules/.bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "setup: npm packages" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
fi

# command:package, one per line
demo_needs="runc:runc crun:crun pasta:passt busybox:busybox-static"
test_needs="$demo_needs slirp4netns:slirp4netns docker-registry:docker-registry skopeo:skopeo umoci:umoci podman:podman mmdebstrap:mmdebstrap git:git newuidmap:uidmap xz:xz-utils zstd:zstd openssl:openssl bzip2:bzip2 strace:strace useradd:passwd setcap:libcap2-bin setfattr:attr ssh-agent:openssh-client mount:mount mkfs.ext4:e2fsprogs ip:iproute2"
[ "$purpose" = demo ] && needs=$demo_needs || needs=$test_needs

missing=
for need in $needs; do
  command -v "${need%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${need%%:*}" ] || missing="$missing ${need##*:}"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ]; then
  echo "setup: not root, and these Debian packages are missing:$missing" >&2
  echo "setup: run: sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
echo "setup: apt-get install$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# A package that brings a daemon must not start it: tests start what they need on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get -qq update >/dev/null
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $missing >/dev/null
