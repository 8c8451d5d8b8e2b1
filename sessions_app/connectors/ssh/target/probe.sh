#!/bin/sh
# Prints facts about the account and its target, one `name=value` per line. Part of Stint.
#
#   probe NONCE PRINCIPALS   PRINCIPALS is the folder with a file of principals for each account
#
# It does not depend on the tools that it looks for.

nonce=$1 principals=$2
echo "nonce=$nonce"
me=$(id -un 2>/dev/null)
echo "account=$me"
entry=$(getent passwd "$me" 2>/dev/null || grep "^$me:" /etc/passwd 2>/dev/null)
echo "shell=${entry##*:}"
echo "clock=$(date +%s.%N 2>/dev/null)"
for tool in setpriv timeout grep unshare; do
  echo "$tool=$($tool --version 2>/dev/null | head -n 1)"
done
setpriv --pdeathsig KILL -- true 2>/dev/null && echo pdeathsig=yes
if [ "$(id -u)" = 0 ]; then user=''; else user='--user --map-current-user'; fi
# shellcheck disable=SC2086 # two options, or none
unshare $user --pid --fork --kill-child=KILL -- true 2>/dev/null && echo pidns=yes
echo "principals=$(grep -hsv '^#' "$principals/$me" | tr '\n' ' ')"
echo "exempt=$(grep -ihs '^ *PerSourcePenaltyExemptList' /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf | head -n 1)"
