#!/bin/sh
# Transfers one file or lists one folder as the account of this target. Part of Stint.
#
#   transfer get FOLDER NAME MOST   print `ok SIZE TIME` and the content of a file of at most MOST bytes
#   transfer list FOLDER MOST       print `ok` and at most MOST entries, each ended by NUL, then `end` or `more`
#   transfer put FOLDER NAME TEMPORARY MOST MODE REPLACE TOKEN DIGEST
#                                   print `ok`, write a file from the input, and print `done SIZE DIGEST`
#   transfer clean PATH...          remove temporary files whose folders are unchanged, and print `done`
#
# If get, list or put can't go on, the last line is `no` and one word.
#
# FOLDER is entered first, and its location is compared with the decided one. All later steps are relative to it, so
# replacing a parent folder in between has no effect. An opened file is checked by its descriptor in /proc, not by its
# name.
#
# REPLACE is yes or no. TOKEN is the SHA-256 of a secret, in hex. DIGEST is that of the decided content, or empty. The
# input of put ends with a commit: the secret, and the digest of the content. Without a valid one, as after a lost
# connection, nothing is published.

# The characters of a commit, two times 32 bytes in hex.
commit_size=128
fd=/proc/$$/fd/4

no() {
  echo "no $1"
  exit 1
}

# Enters the folder $1, unless a symbolic link in its path leads elsewhere.
enter() {
  LC_ALL=C
  export LC_ALL
  cd -P -- "$1" 2>/dev/null || no folder
  # A shell's own pwd may print what the shell remembers.
  [ "$(env pwd -P)" = "$1" ] || no elsewhere
}

get() {
  enter "$1"
  path=${1%/}/$2 file=./$2 most=$3
  [ ! -L "$file" ] || no elsewhere
  [ -e "$file" ] || no missing
  [ -f "$file" ] || no special
  [ -r "$file" ] || no denied
  exec 4<"$file"
  [ "$(readlink "$fd")" = "$path" ] || no changed
  # shellcheck disable=SC2046 # three words: the mode in hex, the size, the time
  set -- $(stat -L -c '%f %s %Y' "$fd")
  case $1 in 8???) ;; *) no special ;; esac
  [ "$2" -le "$most" ] || no large
  echo "ok $2 $3"
  exec dd bs=128K count="$2" iflag=count_bytes status=none <&4
}

list() {
  enter "$1"
  most=$2
  [ -r . ] || no denied
  echo ok
  set --
  for file in * .[!.]* ..?*; do
    [ -e "./$file" ] || [ -L "./$file" ] || continue
    if [ "$most" -le 0 ]; then
      show "$@"
      printf 'more\0'
      return
    fi
    most=$((most - 1))
    set -- "$@" "./$file"
    if [ $# -ge 200 ]; then
      show "$@"
      set --
    fi
  done
  show "$@"
  printf 'end\0'
}

show() {
  [ $# = 0 ] || stat --printf '%f %s %Y %n\0' -- "$@" 2>/dev/null
}

# This shell, with the traps, only waits, because a trap can run at once only during `wait`, and a signal that arrives
# at a new subshell before it has reset its traps is lost.
put() {
  enter "$1"
  file=./$2 temporary=./$3 most=$4 mode=$5 replace=$6 token=$7 wanted=$8
  [ ! -d "$file" ] || no special
  if [ "$replace" = yes ]; then
    [ ! -L "$file" ] || no elsewhere
    [ ! -e "$file" ] || [ -f "$file" ] || no special
  elif [ -e "$file" ] || [ -L "$file" ]; then
    no exists
  fi
  [ -w . ] || no denied
  if [ -e "$temporary" ] || [ -L "$temporary" ]; then no temporary; fi
  umask 077
  # The temporary file must be a new one.
  set -C
  trap 'rm -f -- "$temporary"' EXIT
  trap 'exit 143' TERM HUP INT
  exec 3<&0 4>"$temporary"
  echo ok
  receive &
  wait $!
}

# Writes the input to the temporary file, and publishes that under its name.
receive() {
  # The digest of what is on the disk, after a line `write` if the input could not be written.
  digest=$(exec 6>&1; write | sha256sum)
  case $digest in write*) no write ;; esac
  digest=${digest%% *}
  measure
  [ "$size" -ge 0 ] || no incomplete
  [ "$size" -le "$most" ] || no large
  commit=$(tail -c $commit_size "$fd" | tr -c 0-9a-f x)
  committed=$(printf %s "$commit" | cut -c 65-)
  [ "$(printf %s "$commit" | cut -c -64 | tr -d '\n' | sha256sum)" = "$token  -" ] || no incomplete
  { truncate -s "$size" "$fd" && sync "$fd"; } || no write
  [ "$digest" = "$committed" ] || no digest
  [ -z "$wanted" ] || [ "$digest" = "$wanted" ] || no digest
  { chmod "$mode" "$fd" && sync "$fd"; } || no write
  publish
  # Someone may have replaced the file before it was published.
  [ "$(stat -c %d:%i "$file")" = "$(stat -L -c %d:%i "$fd")" ] || no changed
  sync .
  echo "done $size $digest"
}

publish() {
  if [ "$replace" = yes ]; then
    mv -fT -- "$temporary" "$file" || no write
  else
    # The descriptor itself is linked to the name, which fails if the name exists.
    ln -LT -- "$fd" "$file" || {
      [ ! -e "$file" ] || no exists
      no write
    }
    rm -f -- "$temporary"
  fi
}

# Sets $size to the size of the file so far, without as many bytes as the commit has.
measure() {
  size=$(($(stat -L -c %s "$fd") - commit_size))
}

# Writes the input, and prints what was written. With `nocache`, dd starts to write to the disk immediately, so that
# less is left for the sync. While it writes, the file is read back, without the commit. What can't be read back
# meanwhile, such as on systems that hide the descriptors of processes, is read at the end.
write() {
  exec 5<"$fd"
  at=0
  dd bs=256K count="$((most + commit_size + 1))" iflag=fullblock,count_bytes oflag=nocache status=none \
    <&3 >&4 5<&- 6>&- &
  set -- 0.01 0.02 0.04 0.08 0.16
  while [ -e "/proc/$!/fd/0" ]; do
    sleep "$1" 2>/dev/null || sleep 1
    [ $# = 1 ] || shift
    read_back 1000000
  done
  wait $! || echo write >&6
  read_back 0
}

# Prints what was written since the last time, if that is more than $1 bytes.
read_back() {
  measure
  more=$((size - at))
  [ "$more" -gt "$1" ] || return 0
  at=$size
  dd bs=256K count="$more" iflag=count_bytes status=none <&5
}

clean() {
  for path; do
    folder=${path%/*}/
    cd -P -- "$folder" 2>/dev/null || continue
    at=$(env pwd -P)
    [ "${at%/}/" != "$folder" ] || rm -f -- "./${path##*/}" || exit 1
  done
  echo 'done'
}

action=$1
shift
case $action in
  get) get "$@" ;;
  list) list "$@" ;;
  put) put "$@" ;;
  clean) clean "$@" ;;
esac
