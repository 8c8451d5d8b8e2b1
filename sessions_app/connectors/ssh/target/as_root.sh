#!/bin/sh
# Runs one approved command as root and ends it, or ends what is left of a grant. Part of Stint.
#
#   as_root WORD...        run a command for an account that sudo allows exactly these words
#   as_root --try          the same with a harmless command, which prints the state of the system
#   as_root --run WORD...  run a command for an account that is root itself, with TERM as its parent death signal
#   as_root --end          kill every process of the grant whose mark is STINT_END, and count them
#   as_root --end-scopes   the same without those outside of scopes, which an account that is root finds itself
#
# STINT_GRANT and STINT_RUN are the marks of the command, STINT_SECONDS is its time limit.
#
# Under systemd, a command runs in a scope of its own, a cgroup that no process can leave on its own. This script
# kills the scope when the command exits or the connection closes. When the time is over, systemd kills it, even if
# this script is dead. Elsewhere, a command runs in a PID namespace, which this script and `timeout` end.

fail() {
  echo "stint: $1" >&2
  exit 125
}

# Sets $slice to the cgroup of stint.slice, and $expand to the option by which systemd-run leaves `$` in words alone.
# Fails if systemd is not process 1, has no cgroup v2, or is older than 244, which can't limit the time of a scope.
find_systemd() {
  slice='' expand=''
  [ -d /run/systemd/system ] && [ -e /sys/fs/cgroup/cgroup.controllers ] || return 1
  while IFS= read -r line; do
    case $line in 0::*/init.scope) slice=${line#0::} slice=/sys/fs/cgroup${slice%/init.scope}/stint.slice ;; esac
  done </proc/1/cgroup
  version=$(systemctl --version) version=${version#systemd } version=${version%%[!0-9]*}
  [ -n "$slice" ] && [ "${version:-0}" -ge 244 ] || return 1
  [ "$version" -lt 254 ] || expand=--expand-environment=no
}

# Prints how many processes are in a scope and the cgroups below it.
count() {
  find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null | wc -l
}

# Kills a scope, and waits up to 5 s until the kernel reports that it is empty.
kill_scope() {
  tries=0
  while grep -qs '^populated 1' "$1/cgroup.events"; do
    [ $tries -lt 250 ] || return 1
    # Linux before 5.14 has no cgroup.kill.
    { echo 1 >"$1/cgroup.kill"; } 2>/dev/null || systemctl kill --signal=KILL "${1##*/}" 2>/dev/null
    grep -qs '^populated 1' "$1/cgroup.events" || break
    tries=$((tries + 1))
    sleep 0.02
  done
  return 0
}

# Ends the command because the connection closed.
# shellcheck disable=SC2329 # a trap invokes it
stop() {
  trap '' TERM HUP
  kill -KILL $! 2>/dev/null
  kill_scope "$scope"
  exit 143
}

run() {
  # The connection closed already.
  [ "$PPID" != 1 ] || exit 125
  scope='' watcher=''
  trap stop TERM HUP
  # Signals that the holder sends are for the command, which does not ignore them.
  trap '' INT QUIT
  if [ -n "${SUDO_UID-}" ]; then
    # The parent, sshd's process, belongs to the account, so the kernel does not signal its death to a process of root.
    # shellcheck disable=SC2016 # expanded by the inner shell
    setpriv --pdeathsig KILL -- sh -c '
      setpriv --pdeathsig KILL -- tail --pid="$1" -s 0.1 -f /dev/null && kill -TERM "$PPID"
    ' stint "$PPID" </dev/null >/dev/null 2>&1 &
    watcher=$!
  fi
  # A shell gives background processes an empty input, unless it uses another descriptor.
  exec 3<&0
  if find_systemd; then
    unit=stint-$STINT_GRANT:${STINT_RUN##*-}:$$.scope scope=$slice/$unit
    env --default-signal systemd-run --quiet --scope --collect --slice=stint.slice "--unit=$unit" \
      --property=KillSignal=KILL "--property=RuntimeMaxSec=$STINT_SECONDS" $expand -- "$@" <&3 3<&- &
  else
    # systemd identifies its callers by process id, which it can't see here, but D-Bus does not.
    [ ! -d /run/systemd/system ] || export SYSTEMCTL_FORCE_BUS=1
    unshare --pid --fork --kill-child=KILL -- timeout -s KILL "$STINT_SECONDS" "$@" <&3 3<&- &
  fi
  exec 3<&- </dev/null >/dev/null 2>&1
  wait $!
  status=$?
  [ -z "$watcher" ] || kill -KILL "$watcher"
  kill_scope "$scope"
  exit $status
}

end() {
  case "${STINT_END-}" in '' | *[!A-Za-z0-9_-]*) fail 'the mark of the grant is missing' ;; esac
  # An empty search proves nothing if this process can't find itself.
  grep -qzxF -- "STINT_END=$STINT_END" /proc/$$/environ || fail 'processes can not be seen'
  found=0 left=0 by=scan
  if find_systemd; then
    by=kernel
    for scope in "$slice/stint-$STINT_END:"*.scope; do
      found=$((found + $(count "$scope")))
      kill_scope "$scope" || left=$((left + $(count "$scope")))
    done
  fi
  [ "$1" = --end-scopes ] || scan
  echo "found=$found left=$left by=$by"
}

# Kills processes with the mark of the grant: without systemd, all; with it, those that root moved to another cgroup.
scan() {
  most=0 round=0 none=0
  # A program that is just starting briefly has no visible environment, so only two empty searches count.
  while [ $none -lt 2 ] && [ $round -lt 60 ]; do
    round=$((round + 1)) now=0
    # shellcheck disable=SC2013 # these paths have no spaces
    for file in $(grep -lzxF -- "STINT_GRANT=$STINT_END" /proc/[0-9]*/environ 2>/dev/null); do
      pid=${file#/proc/} now=$((now + 1))
      kill -KILL "${pid%/environ}" 2>/dev/null
    done
    [ $now -le $most ] || most=$now
    if [ $now = 0 ]; then none=$((none + 1)); else none=0; fi
    [ $none -gt 1 ] || sleep 0.05
  done
  found=$((found + most)) left=$((left + now))
}

if [ "${1-}" = --run ]; then
  shift
  run "$@"
fi
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
case ${1-} in
  --end | --end-scopes)
    end "$1"
    exit
    ;;
  --try)
    if [ -d /run/systemd/system ]; then set -- systemctl is-system-running; else set -- echo running; fi
    ;;
esac
case "${STINT_GRANT-}" in '' | *[!A-Za-z0-9_-]*) fail 'the mark of the grant is missing' ;; esac
case "${STINT_RUN-}" in '' | *[!A-Za-z0-9_-]*) fail 'the mark of the command is missing' ;; esac
case "${STINT_SECONDS-}" in '' | *[!0-9.]*) fail 'the time of the command is missing' ;; esac
# sudo compares words joined by spaces.
for word in "$@"; do case $word in '' | *[[:space:]]*) fail 'a word contains a space' ;; esac; done
[ $# -gt 0 ] || fail 'there is no command'
case $(cat "/proc/$PPID/comm") in
  sudo*) fail 'sudo stays above the command, so that nothing could end it: run the setup again' ;;
esac
run "$@"
