#!/bin/sh
# Answers whether the commands of command sets can run as the account of this target. Part of Stint.
#
#   answer ASK AS_ROOT QUESTION...   print the number of each question whose answer is no, from 0, and then `end`
#
# ASK is a command line that prints the state of systemd. AS_ROOT is the path of the script that sudo allows.
# The first character of a question is its kind:
#
#   p   is the program on the PATH?
#   r   is the program on the PATH of root?
#   s   does sudo allow AS_ROOT with these words?
#   w   does this command line, a way to ask for the state of systemd, reach it? It is not to blame if ASK can't either.
#   W   does it reach systemd in any case?

# Runs a command line, and fails unless it prints a state of systemd, whichever that is.
reaches() {
  case $(sh -c "$1" </dev/null) in
    initializing | starting | running | degraded | maintenance | stopping) ;;
    *) return 1 ;;
  esac
}

answer() {
  rest=${1#?}
  # shellcheck disable=SC2086 # the words of a command for sudo
  case $1 in
    p*) command -v -- "$rest" ;;
    r*) (PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin && command -v -- "$rest") ;;
    s*) sudo -n -l "$as_root" $rest ;;
    w*) reaches "$rest" || ! reaches "$ask" ;;
    W*) reaches "$rest" ;;
  esac
}

# Words of commands are no patterns.
set -f
ask=$1 as_root=$2 number=0
shift 2
for question; do
  answer "$question" >/dev/null 2>&1 || echo "$number"
  number=$((number + 1))
done
# Without this line, the output is incomplete.
echo end
