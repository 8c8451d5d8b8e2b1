#!/bin/sh
# Runs one approved command, and ends it with its connection. Part of Stint.
#
#   supervise MARK WORD...   run a command whose environment has MARK
#
# This script is the parent of the command, carries no mark itself, and gets TERM when its own parent, sshd's process
# for the connection, exits. Then, or when the command's time is over, it kills the command's process group and
# everything else with the mark. So even processes that left the group end, without the gateway.

# Kills every process with the mark. A program that is just starting briefly has no visible environment, so only two
# empty searches count. A search reads all of /proc. When hundreds of commands end together, their searches would take
# CPU time from commands whose group is not killed yet, so they wait for each other: by a lock on the input, /dev/null,
# for at most a second.
sweep() {
  flock -w 1 0
  none=0 round=0
  while [ $none -lt 2 ] && [ $round -lt 6 ]; do
    round=$((round + 1))
    # shellcheck disable=SC2046 # these paths have no spaces
    set -- $(grep -lzxE -- "$mark" /proc/[0-9]*/environ 2>/dev/null)
    for file in "$@"; do
      pid=${file#/proc/}
      kill -KILL "${pid%/environ}" 2>/dev/null
    done
    if [ $# -gt 0 ]; then none=0; else none=$((none + 1)); fi
    [ $# -gt 0 ] || [ $none -gt 1 ] || sleep 0.02
  done
}

# Ends the command because the connection closed. A transfer gets TERM, and a moment to remove its file.
# shellcheck disable=SC2329 # a trap invokes it
end() {
  trap '' TERM HUP
  kill -TERM $!
  for _ in 1 2 3 4 5 6; do
    sleep 0.05
    kill -0 $! || break
  done
  kill -KILL -- -$! $!
  sweep
  exit 143
}

# The connection closed before the parent death signal was armed.
[ "$PPID" != 1 ] || exit 125
mark=$1
shift
# `$!` is set before any trap can run.
trap 'end 2>/dev/null' TERM HUP
# A shell gives background processes an empty input, unless it uses another descriptor.
exec 3<&0
"$@" <&3 3<&- &
exec 3<&- </dev/null >/dev/null 2>&1
wait $!
status=$?
# `timeout` killed the command, but not what left its group.
[ $status != 137 ] || sweep
exit $status
