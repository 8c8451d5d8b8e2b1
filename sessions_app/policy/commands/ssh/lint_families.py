"""Programs with a danger in common: what it is, and what to write instead."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sessions_app.policy.commands.findings import Severity


@dataclass(frozen=True, slots=True)
class Family:
    """Programs with one danger in common. `why` follows the program's name in a sentence."""

    code: str
    severity: Severity
    why: str
    fix: str
    names: frozenset[str]


def _family(code: str, severity: Severity, why: str, fix: str, names: str) -> Family:
    return Family(code, severity, why, fix, frozenset(names.split()))


FAMILIES = (
    _family(
        "shell",
        "error",
        "is a shell: whoever may run it runs anything",
        "name the one command itself",
        "sh bash dash ash zsh fish ksh mksh csh tcsh rbash rksh busybox toybox pwsh restricted-ssh rssh",
    ),
    _family(
        "builtin",
        "error",
        "belongs to the shell's own language: there is no such program on the target",
        "name a program; folders and settings are given as its arguments",
        "cd export alias unalias source . eval exec command builtin set unset ulimit umask trap wait "
        "jobs bg fg disown",
    ),
    _family(
        "interpreter",
        "error",
        "runs any code that it is given",
        "make the script executable, give it a first line that names the interpreter, and name the "
        "script by its full path",
        "python perl ruby node nodejs deno bun php lua luajit tclsh wish expect awk gawk mawk nawk "
        "gdb lldb m4 ed ex dc irb guile ghci jshell jrunscript groovy scala Rscript R octave "
        "osascript erl elixir",
    ),
    _family(
        "becomes_another",
        "error",
        "runs a program as somebody else or in another place",
        "name the program itself, on a cluster whose login account may run it",
        "sudo su doas pkexec runuser chroot nsenter unshare setpriv capsh newgrp sg gosu su-exec "
        "machinectl sudoedit systemd-run systemd-nspawn runcon setuidgid chpst s6-setuidgid",
    ),
    _family(
        "starter",
        "error",
        "starts any program named in its arguments",
        "name that program itself",
        "env xargs watch script flock parallel strace ltrace perf unbuffer entr run-parts "
        "dbus-run-session ld.so ld-linux-x86-64.so.2 ld-linux-aarch64.so.1 catchsegv faketime "
        "fakeroot valgrind cgexec softlimit",
    ),
    _family(
        "outlives",
        "error",
        "leaves work behind that goes on after the grant has ended",
        "name the command itself, and let it run in the session",
        "nohup setsid daemonize daemon start-stop-daemon screen tmux dtach abduco at batch crontab",
    ),
    _family(
        "wrapper",
        "warning",
        "starts the program that is named behind it",
        "leave it out: the grant's end is the time limit",
        "timeout nice ionice stdbuf chrt taskset choom numactl prlimit cpulimit trickle",
    ),
    _family(
        "editor",
        "error",
        "is an editor: it writes any file and starts a shell",
        "name a program that makes the one change, or put the new file in place with your deployment",
        "vi vim nvim view vimdiff rvim rview gvim nano rnano pico emacs emacsclient joe jed mcedit ne "
        "micro helix hx vipw vigr visudo sensible-editor editor",
    ),
    _family(
        "pager",
        "error",
        "is a pager: it starts a shell or an editor at a key press",
        "use cat, head or tail with a fixed path",
        "less more most man info pg sensible-pager pager zless bzless xzless",
    ),
    _family(
        "remote",
        "error",
        "reaches other machines or moves files, out of this grant's sight",
        "make the other machine a target of a cluster, and ask for access there",
        "ssh scp sftp rsync rsh rlogin rcp telnet nc ncat netcat socat ftp lftp tftp mosh sshpass "
        "autossh sshfs pssh parallel-ssh rclone",
    ),
    _family(
        "kernel",
        "error",
        "puts code into the kernel",
        "leave it to the machine's own configuration",
        "insmod modprobe kexec bpftrace bpftool stap",
    ),
    _family(
        "archive",
        "warning",
        "runs programs by some options and writes wherever an archive says",
        "give a literal command without values, or a script of your own by its full path",
        "tar bsdtar zip unzip cpio 7z 7za ar pax",
    ),
    _family(
        "packages",
        "warning",
        "runs scripts that come with what it installs or builds",
        "pin what it may install, or leave it to your deployment",
        "apt apt-get aptitude dpkg yum dnf rpm zypper pacman apk snap flatpak pip pip3 pipx uv npm "
        "npx yarn pnpm gem bundle rake make gmake cmake ninja ant mvn gradle cargo go composer",
    ),
    _family(
        "automation",
        "warning",
        "runs whatever its own files say, often on many machines",
        "name the playbook or module in full, and keep it under review",
        "ansible ansible-playbook terraform tofu pulumi puppet chef-client salt salt-call salt-ssh "
        "vagrant fab",
    ),
    _family(
        "fetch",
        "warning",
        "reads and writes local files by its options (file://, @file, -o, -K)",
        "give the whole address and no values, and write to standard output",
        "curl wget aria2c http https xh axel",
    ),
    _family(
        "capture",
        "warning",
        "sees what other people send, and writes files and runs programs by its options",
        "give all options literally, without -w and -z, and a number of packets",
        "tcpdump tshark dumpcap nmap masscan ngrep",
    ),
    _family(
        "accounts",
        "warning",
        "changes who may log in, so the access it gives does not end with the grant",
        "make the change in the directory that your accounts come from",
        "useradd usermod userdel adduser deluser groupadd groupmod gpasswd passwd chpasswd chage "
        "ssh-copy-id ssh-keygen authselect chsh chfn",
    ),
    _family(
        "cluster_tool",
        "warning",
        "controls another system with the rights of its configuration file",
        "make that system a cluster of its own kind",
        "kubectl oc helm nomad consul vault virsh lxc incus aws gcloud az doctl",
    ),
)

FAMILY_OF: Mapping[str, Family] = {name: family for family in FAMILIES for name in family.names}

_VERSION = re.compile(r"-?[0-9][0-9.]*$")


def family_of(program: str) -> Family | None:
    """The family of a program by its name, with or without a version (`python3.11`)."""
    return FAMILY_OF.get(program) or FAMILY_OF.get(_VERSION.sub("", program))
