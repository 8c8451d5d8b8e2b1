"""Starter command sets for SSH. Each can be published unchanged."""

from sessions_app.policy.commands.starters import Starter

STARTERS = (
    Starter(
        "restart",
        "Restart a service",
        "Restart one service and read its state and its log.",
        "restart-service",
        """\
name: restart-service
kind: ssh
summary: Restart one service and read its state and its log
risk: medium
parameters:
  # Fixed when access is requested. List the services that may be restarted.
  unit: {choice: [nginx, haproxy]}
commands:
  - run: systemctl restart {unit}
    # The setup of each target lets Stint's account run exactly this as root, through sudo.
    as: root
    effect: change
  - run: systemctl --no-pager status {unit}
    effect: read
  - run: journalctl --no-pager -u {unit} -n {lines}
    as: root
    # Chosen at each run.
    where: {lines: {choice: ["100", "1000"]}}
    effect: read
examples:
  allow: ["systemctl restart nginx", "journalctl --no-pager -u nginx -n 100"]
  refuse: ["systemctl restart sshd", "systemctl stop nginx", "systemctl restart nginx; id"]
""",
    ),
    Starter(
        "logs",
        "Read logs",
        "Read the state and the log of services.",
        "read-logs",
        """\
name: read-logs
kind: ssh
summary: Read the state and the log of services
risk: low
commands:
  - run: systemctl --no-pager status {unit}
    where: {unit: {choice: [nginx, haproxy]}}
    effect: read
  - run: journalctl --no-pager -u {unit} -n {lines}
    # The setup of each target lets Stint's account run exactly this as root, through sudo.
    as: root
    where: {unit: {choice: [nginx, haproxy]}, lines: {choice: ["100", "1000"]}}
    effect: read
  - run: uptime
    effect: read
examples:
  allow: ["journalctl --no-pager -u nginx -n 100", "uptime"]
  refuse: ["systemctl restart nginx", "journalctl --vacuum-time=1s"]
""",
    ),
    Starter(
        "files",
        "Deploy a release",
        "Upload one release, list the releases, and download logs.",
        "deploy-release",
        """\
name: deploy-release
kind: ssh
summary: Upload one release of the application, and download its logs
risk: medium
parameters:
  # Fixed when access is requested, so that approvers see it.
  release: {pattern: "[a-z0-9][a-z0-9-]{0,39}"}
commands:
  # Files go over SFTP: scp, sftp or stint cp. An existing file is not replaced.
  - put: /srv/app/releases/{release}.tar.gz
    max: 200MB
  - list: /srv/app/releases
  - get: /srv/app/logs/{file}
    max: 200MB
    where: {file: {name: 64}}
examples:
  allow: ["list /srv/app/releases", "get /srv/app/logs/app.log"]
  refuse: ["get /etc/passwd", "put /srv/app/releases/r42.sh"]
""",
    ),
    Starter(
        "empty",
        "Something else",
        "One harmless command to replace with your own.",
        "my-commands",
        """\
name: my-commands
kind: ssh
summary: Say in one line what it does
risk: low
commands:
  - run: uptime
    effect: read
examples:
  allow: ["uptime"]
  refuse: ["uptime; id"]
""",
    ),
)
