#!/bin/sh
# rsfilter, and the ExaBGP that it needs (Debian's is too old), under /opt/rsfilter.
#
#   install.sh WHEEL     install, or upgrade to this: a wheel, or whatever else pip takes
#   install.sh --back    what was in force before the last upgrade
#
# Every version has a virtual environment of its own in versions/, and the link venv names the one in
# force. A version that does not accept the configuration does not get there. Then rsfilter ends, and
# ExaBGP, which goes on, starts it again: no session is lost, and no router hears of it. ExaBGP itself
# stays what it was until it is restarted. Old versions are not deleted, but what does not get in force is.
#
# PREFIX (/opt/rsfilter) and ETC (/etc/rsfilter) may be others. As root it also installs librtr and
# makes the user and the service.
set -eu
umask 022 # the service runs as another user, who has to read all of it

PREFIX=${PREFIX:-/opt/rsfilter}
ETC=${ETC:-/etc/rsfilter}
here=$(dirname "$(readlink -f "$0")")

case $PREFIX in *[[:space:]]*)
  echo "install: PREFIX must have no spaces: programs begin with its path" >&2
  exit 2
  ;;
esac

say() { echo "install: $*"; }

usage() {
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
  exit 2
}

is_system() { [ "$(id -u)" = 0 ] && [ "$PREFIX" = /opt/rsfilter ]; }

system() {
  missing=
  for package in python3-venv librtr0; do
    dpkg-query --show --showformat='${db:Status-Status}' $package 2>/dev/null | grep -qx installed ||
      missing="$missing $package"
  done
  if [ -n "$missing" ]; then
    say "apt-get install$missing"
    apt-get -qq update
    # shellcheck disable=SC2086 # several words
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing
  fi
  getent passwd rsfilter >/dev/null ||
    useradd --system --user-group --no-create-home --home-dir /var/lib/rsfilter --shell /usr/sbin/nologin rsfilter
  install -d -o rsfilter -g rsfilter -m 0750 /var/lib/rsfilter
  install -d -m 0755 "$ETC"
  if [ -d /run/systemd/system ]; then
    install -m 0644 "$here/systemd/rsfilter.service" "$here/systemd/rsfilter@.service" /etc/systemd/system
    systemctl daemon-reload
  fi
}

# $1 is in force from now on, and what was is `previous`. A link is replaced in one step.
switch() {
  was=$(readlink "$PREFIX/venv" || true)
  if [ -n "$was" ] && [ "$was" != "$1" ]; then
    ln -sfn "$was" "$PREFIX/previous"
  fi
  ln -sfn "$1" "$PREFIX/venv.new"
  mv -T "$PREFIX/venv.new" "$PREFIX/venv"
  say "$("$PREFIX/venv/bin/rsfilter" --version) is in force"
  if pkill --signal TERM --full "rsfilter run -c $ETC/([^/]*/)?rsfilter[.]toml"; then # instances too
    say "rsfilter ended, and ExaBGP starts it again"
  fi
  if is_system && [ ! -d /run/rsfilter ]; then
    say "commands need --url until the service is (re)started, which makes /run/rsfilter for the socket"
  fi
}

# rsfilter of $1, as the user of the service where there is one: what root may read is not enough.
rsfilter_of() {
  python="$PREFIX/$1/bin/python"
  shift
  if is_system && getent passwd rsfilter >/dev/null; then
    runuser -u rsfilter -- "$python" -P -m rsfilter "$@" >/dev/null
  else
    "$python" -P -m rsfilter "$@" >/dev/null
  fi
}

accepts() {
  rsfilter_of "$1" --version || return 1
  for configuration in "$ETC/rsfilter.toml" "$ETC"/*/rsfilter.toml; do
    [ ! -e "$configuration" ] || rsfilter_of "$1" check -c "$configuration" || return 1
  done
}

[ $# = 1 ] || usage
case $1 in
  --back)
    if ! target=$(readlink "$PREFIX/previous"); then
      say "there is no version before this one" >&2
      exit 1
    fi
    ;;
  '' | -*)
    usage
    ;;
  *)
    if is_system; then system; fi
    target=versions/$(date -u +%Y%m%dT%H%M%SZ)
    mkdir -p "$PREFIX/versions"
    mkdir "$PREFIX/$target"
    trap 'rm -rf "${PREFIX:?}/$target"' EXIT
    trap 'exit 1' HUP INT TERM
    python3 -m venv "$PREFIX/$target"
    "$PREFIX/$target/bin/python" -m pip --quiet --disable-pip-version-check install "$1"
    # `rsfilter render` writes down how it was started: by the link, or ExaBGP would start this
    # version for ever.
    sed -i "1s|^#!.*|#!$PREFIX/venv/bin/python|" "$PREFIX/$target/bin/rsfilter"
    ;;
esac

if ! accepts "$target"; then
  say "this version does not start, or does not accept a configuration in $ETC; nothing was changed" >&2
  exit 1
fi
trap - EXIT
switch "$target"
