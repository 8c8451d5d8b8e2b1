#!/bin/sh
# Finds what grants left running on this machine, and kills it. Part of Stint. Runs as the account of the commands.
#
#   sweep kill MARKS [SECONDS [OTHERS]]  kill every process with one of the marks, and report what is left
#   sweep count MARKS                    count the processes with one of the marks
#   sweep list NAME                      list the values of the mark NAME, with the number of their processes
#
# MARKS and OTHERS are separated by spaces; a mark is a variable in the environment of a process, NAME=VALUE.
# STINT_SWEEP is a random value, by which each search proves that it can find processes.
#
# The environment of a process is read as it was when its program started, so no process can remove its mark later. A
# process has no mark if it was started without it, overwrites it in memory, or can't be read. With SECONDS, the time
# since the grant was first used here, such a process is reported if it may belong to the grant. OTHERS are the marks of
# other grants, whose processes are not reported.

# For this many clock ticks of CPU time, and this many hundredths of a second, the sweep looks again if it can't decide.
# It always looks LEAST times. Another sweep gets LOCKED seconds to end.
CPU_LIMIT=150 TIME_LIMIT=150 LEAST=4 LOCKED=3
# The maximum number of processes that are reported by name, and of those whose parents are searched in one round.
MOST_NAMED=20 MOST_PARENTS=100

fail() {
  echo "stint: $1" >&2
  exit 3
}

# Reads the facts about process $1. Its name may contain anything, including line breaks and brackets.
look() {
  stat=''
  while IFS= read -r part; do stat="$stat$part "; done 2>/dev/null <"/proc/$1/stat"
  case $stat in *') '*) ;; *) return 1 ;; esac
  name=${stat#*\(} name=${name%)*}
  # shellcheck disable=SC2086 # the fields are separated by spaces
  set -- ${stat##*) }
  parent=$2 tty=$5 ticks=$((${12} + ${13} + ${14} + ${15})) began=${20}
}

# Prints `PATH:MARK` for each process and mark that matches the pattern $1, separated by line breaks.
search() {
  grep -azHxE -- "STINT_SWEEP=$STINT_SWEEP|$1" /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'
}

# Sets $marked to the processes that have one of the marks, as `PID:MARK`. A search that does not find this process
# proves nothing, for example without grep on the PATH, without /proc, or with too many processes for one command line.
find_marked() {
  marked='' itself=''
  for hit in $(search "$pattern"); do
    pid=${hit#/proc/} pid=${pid%%/*}
    case $hit in
      */"$$"/environ:STINT_SWEEP=*) itself=found ;;
      *:STINT_SWEEP=*) ;;
      *) marked="$marked $pid:${hit#*:}" ;;
    esac
  done
  [ "$itself" = found ] || fail 'processes can not be seen'
}

# Sets $mine to this process and its ancestors, and $above to `sshd` if only sshd is above this login.
find_ancestors() {
  at=$$ above='' mine=''
  while look "$at"; do
    case $name in sshd*) above=${above:-sshd} ;; *) [ "$at" -le 1 ] || above=${above:+others} ;; esac
    mine="$mine $at" at=$parent
  done
}

# Sets $reapers to the processes that adopt orphans: process 1, and a subreaper above this login
# (PR_SET_CHILD_SUBREAPER(2const)), which only an orphan can find.
find_reapers() {
  reapers=1
  [ "$above" != sshd ] || [ "$at" != 0 ] || return 0
  reaper=$(
    read -r own _ </proc/self/stat
    {
      while look self && [ "$parent" = "$own" ]; do :; done
      echo "$parent"
    } &
  )
  [ "${reaper:-0}" -le 1 ] || reapers="1 $reaper"
}

# Sets $orphans to the children of the reapers, with a space before and after each.
find_orphans() {
  orphans=''
  for at in $reapers; do
    for list in "/proc/$at/task/"*/children; do
      more=''
      read -r more 2>/dev/null <"$list"
      orphans="$orphans $more"
    done
  done
}

# A process that forks and exits at once is gone before its environment is searched. Its oldest descendant is always a
# child of a reaper, which has few, long-lived children. So new children are read here, without starting a program.
# $fleeting counts those that are gone, dead, or just starting: with any, the round proves nothing.
read_new_orphans() {
  fleeting=0
  for _ in 1 2 3; do
    find_orphans
    # A process 1 that never reaps has thousands of dead children.
    [ "$orphans" != "$compared" ] || continue
    compared=$orphans
    for pid in $orphans; do
      case "$known " in *" $pid "*) continue ;; esac
      known="$known $pid"
      # Processes of other accounts can't be read, and don't belong to the grant.
      # shellcheck disable=SC3067 # dash, bash and busybox know -O
      [ "$me" = 0 ] || [ -O "/proc/$pid" ] || ! [ -e "/proc/$pid" ] || continue
      environment=''
      while IFS= read -r part || [ -n "$part" ]; do environment=$environment$part; done 2>/dev/null <"/proc/$pid/environ"
      case $environment in
        '') fleeting=$((fleeting + 1)) ;;
        *STINT_*) kill_if_marked "$pid" ;;
      esac
    done
  done
}

# Kills process $1 if it has one of the marks. It is stopped meanwhile, so that it can be read.
kill_if_marked() {
  kill -STOP "$1" 2>/dev/null || return 0
  if grep -qzxE -- "$pattern" "/proc/$1/environ" 2>/dev/null; then
    kill -KILL "$1" 2>/dev/null
    left=$((left + 1)) seen="$seen $1"
  else
    kill -CONT "$1" 2>/dev/null
  fi
}

# Stops the newest orphans, because they end before they can be read. Those with a terminal are not stopped, because
# no command has one.
hunt() {
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    for at in $reapers; do
      more=''
      read -r more 2>/dev/null <"/proc/$at/task/$at/children"
      newest=${more% } newest=${newest##* }
      case "$known " in *" $newest "*) continue ;; esac
      if look "$newest" && [ "$tty" = 0 ]; then kill_if_marked "$newest"; fi
    done
  done
}

# Any process of the account can start others with the mark of any grant, faster than they are killed. So the parents
# of marked processes are also killed, provided that they carry only the mark of another grant.
kill_forgers() {
  count=0
  for one in $marked; do
    count=$((count + 1)) pid=${one%%:*}
    [ $count -le $MOST_PARENTS ] || return 0
    kill -STOP "$pid" 2>/dev/null
    look "$pid" && [ "$parent" -gt 1 ] || continue
    grep -qzE '^(STINT_GRANT|STINT_RUN)=' "/proc/$parent/environ" 2>/dev/null || continue
    grep -qzxE -- "$pattern" "/proc/$parent/environ" 2>/dev/null && continue
    kill -KILL "$parent" 2>/dev/null
    # Until the parent is dead, several processes can have it as their parent.
    case "$forgers " in *" $parent "*) ;; *) forgers="$forgers $parent" ;; esac
  done
}

# Kills the processes with one of the marks, once.
kill_marked() {
  left=0
  find_marked
  [ $round -le 2 ] || kill_forgers
  for one in $marked; do
    kill -KILL "${one%%:*}" 2>/dev/null
    left=$((left + 1)) seen="$seen ${one%%:*}"
  done
  read_new_orphans
}

# Prints `PID NAME` of each process that may belong to the grant: processes of the account that began after the grant
# was first used here, in the cgroup of this login, without the mark of another grant, and which descend from no open
# connection and from no process that began earlier. The only earlier processes that adopt orphans are above this login.
# The cgroup of a login has a name of its own under systemd-logind; no process can enter another one on its own.
# shellcheck disable=SC2016 # awk's own variables
JUDGE='
function look(pid,   file, part, text, open, field) {
  file = "/proc/" pid "/stat"
  while ((getline part < file) > 0) text = text part " "
  close(file)
  if (!match(text, /.*\) /)) return 0
  open = index(text, "(")
  name[pid] = substr(text, open + 1, RLENGTH - open - 2)
  split(substr(text, RLENGTH + 1), field, " ")
  state[pid] = field[1]; parent[pid] = field[2] + 0; began[pid] = field[20] + 0
  return 1
}
function is_of_root(pid,   file, line, field, uid) {
  file = "/proc/" pid "/status"; uid = -1
  while ((getline line < file) > 0) if (line ~ /^Uid:/) { split(line, field); uid = field[2] }
  close(file)
  return uid == 0
}
function cgroup(pid,   file, line, text) {
  file = "/proc/" pid "/cgroup"
  while ((getline line < file) > 0)
    if (line ~ /^0:|:name=systemd:/) { sub(/\/session-[^\/]*\.scope/, "", line); text = text line "\n" }
  close(file)
  return text
}
function is_of_others(pid,   at, up, steps) {
  at = pid
  while ((up = parent[at]) > 1 && steps++ < 1000) {
    if (up == self) return 1
    if (!look(up)) {
      if (!look(pid)) return 1
      # A parent that remains but can not be read belongs to another account.
      if (look(at) && parent[at] == up) return 1
      at = pid
      continue
    }
    if (name[up] ~ /^sshd/ && is_of_root(up)) return 1
    if (began[up] < since && !(up in mine)) return 1
    at = up
  }
  return 0
}
BEGIN { split(ancestors, list, " "); for (i in list) mine[list[i]] = 1; look(self); home = cgroup(self) }
$1 == "other" { other[$2] = 1; next }
$1 == self { seen = 1 }
($1 in mine) || ($1 in other) { next }
!look($1) || state[$1] ~ /[ZX]/ || began[$1] < since || cgroup($1) != home || is_of_others($1) { next }
{ gsub(/[^A-Za-z0-9_.:\/ -]/, "?", name[$1]); print $1, name[$1] }
END { if (seen) print "end" }
'

# Sets $unknown to the processes that may belong to the grant.
judge() {
  unknown=$(
    {
      grep -lzxE -- "$others" /proc/[0-9]*/environ 2>/dev/null | sed -n 's,^/proc/\([0-9]*\)/.*,other \1,p'
      grep -lE "^Uid:([[:space:]]+[0-9]+)*[[:space:]]+$me([[:space:]]|\$)" /proc/[0-9]*/status 2>/dev/null |
        sed -n 's,^/proc/\([0-9]*\)/.*,\1,p'
    } | awk -v self=$$ -v ancestors="$mine" -v since="$since" "$JUDGE"
  )
  case $unknown in *end) unknown=${unknown%end} ;; *) fail 'processes can not be read' ;; esac
  # A sweep whose connection is lost serves no one. It is killed, because any process can pretend to be one.
  list=''
  while read -r pid name; do
    [ -n "$pid" ] || continue
    if grep -qzE '^STINT_SWEEP=' "/proc/$pid/environ" 2>/dev/null; then
      kill -KILL "$pid" 2>/dev/null
    else
      list="$list$pid $name$newline"
    fi
  done <<END
$unknown
END
  unknown=$list
}

# Sets $time to the hundredths of a second since the machine started.
read_time() {
  read -r time _ </proc/uptime
  time=${time%.*}${time#*.}
}

# Whether a round is left: one of the LEAST, or one within the limits.
is_within_limits() {
  [ "$1" -ge "$LEAST" ] || return 0
  read_time
  look $$
  [ $((time - started)) -lt $TIME_LIMIT ] && [ "$ticks" -lt $CPU_LIMIT ]
}

# Several sweeps would take each other for processes of the grant, and slow each other down. Any account can hold this
# lock, so it never decides whether something is killed.
wait_for_others() {
  command -v flock >/dev/null || return 0
  exec 9</dev/zero
  flock -w $LOCKED 9 && return 0
  round=1
  kill_marked
  echo busy
  exit 0
}

kill_all() {
  round=0 none=0 left=1 fleeting=0 forgers='' seen='' unknown=''
  find_ancestors
  find_reapers
  find_orphans
  known=$orphans compared=$orphans
  [ "${STINT_LOCK-}" = no ] || wait_for_others
  read_time
  started=$time
  # A program that is just starting briefly has no visible environment, and processes that it starts in the meantime
  # carry its mark too. So only two consecutive complete rounds that find nothing count.
  while [ $none -lt 2 ] && is_within_limits $round; do
    round=$((round + 1))
    kill_marked
    if [ $left -gt 0 ] || [ $fleeting -gt 0 ]; then none=0; else none=$((none + 1)); fi
    [ $fleeting = 0 ] || [ $round -le 3 ] || hunt
    [ $none -gt 1 ] || sleep 0.02
  done
  # For root, a process without the mark can't be distinguished from the system's own.
  if [ "$me" != 0 ] && [ -n "$seconds" ]; then
    look $$
    since=$((began - seconds * $(getconf CLK_TCK 2>/dev/null || echo 100)))
    # Processes of connections that are being opened or closed are in question for a moment.
    looks=0
    while is_within_limits $looks; do
      looks=$((looks + 1))
      judge
      read_new_orphans
      [ -n "$unknown" ] || [ $fleeting -gt 0 ] || break
      sleep 0.1
    done
  fi
  # shellcheck disable=SC2086 # these are words
  echo "found=$(print_words $seen | sort -u | wc -l) left=$left rounds=$round forgers=$(print_words $forgers | wc -l)" \
    "fleeting=$fleeting unknown=$(printf %s "$unknown" | wc -l)"
  printf %s "$unknown" | head -n $MOST_NAMED
}

print_words() {
  [ $# = 0 ] || printf '%s\n' "$@"
}

LC_ALL=C
export LC_ALL
mode=$1 marks=$2 seconds=${3-} others=${4-}
me=$(id -u)
newline='
'
pattern=$(echo "$marks" | tr ' ' '|') others=$(echo "${others:-STINT_NONE}" | tr ' ' '|')
case $mode in
  kill) kill_all ;;
  count)
    find_marked
    # shellcheck disable=SC2086 # these are words
    set -- $marked
    echo "found=$# left=$# rounds=1 forgers=0 fleeting=0 unknown=0"
    ;;
  list)
    # Of each process, only its first mark counts: it can carry any number of others, which have no meaning.
    pattern="$marks=[A-Za-z0-9_-]{8,64}"
    find_marked
    last=''
    for one in $marked; do
      [ "${one%%:*}" = "$last" ] || echo "${one#*:}"
      last=${one%%:*}
    done | sort | uniq -c | head -n 500
    echo end
    ;;
esac
