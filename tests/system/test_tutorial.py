# SPDX-License-Identifier: MIT
"""What tutorials tell an administrator to type, typed on a copy of this host
on which `make install` was run."""
import shutil

import host
import pytest

needs_mail = pytest.mark.skipif(
    not shutil.which("bsd-mailx"), reason="bsd-mailx is not installed")

MAIL_HOST = r"""
install_postrider
postconf -e 'myhostname = mail.example.com' 'mydomain = example.com' \
	'myorigin = $mydomain' 'inet_interfaces = all' \
	'mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain'
postconf -e "$MAILBOX"
postfix check
postfix start
useradd -m -s /sbin/nologin user1
useradd -m user2
echo one | bsd-mailx -s hello root
echo test | bsd-mailx -s hi user1
exec 3<>/dev/tcp/127.0.0.1/25
say() { read -r reply <&3; echo "$reply"; }
expect() {
	read -r reply <&3
	case $reply in "$1"*) ;; *) fail "$reply, not $1" ;; esac
}
expect 220
printf 'helo localhost\r\n' >&3; expect 250
printf 'mail from:user1@example.com\r\n' >&3; expect 250
printf 'rcpt to:user2@example.com\r\n' >&3; expect 250
printf 'rcpt to:nobody-here@example.com\r\n' >&3; expect 550
printf 'data\r\n' >&3; expect 354
printf 'Subject: by telnet\r\n\r\nhello\r\n.\r\n' >&3; expect 250
printf 'quit\r\n' >&3; expect 221
"""


@needs_mail
def test_mail_host_maildir():
    host.run('MAILBOX="home_mailbox = Maildir/"\n' + MAIL_HOST + r"""
has() { grep -rl "$2" "$1"/Maildir/new; }
wait_for 15 has /root 'Subject: hello'
wait_for 15 has /home/user1 'Subject: hi'
wait_for 15 has /home/user2 'Subject: by telnet'
for who in user1 user2; do
	file=$(find /home/$who/Maildir/new -type f)
	[ "$(stat -c '%U %a' "$file")" = "$who 600" ] || fail "$(stat "$file")"
	[ "$(stat -c '%U %a' /home/$who/Maildir)" = "$who 700" ] ||
		fail "$(stat /home/$who/Maildir)"
	head -1 "$file" | grep -q '^Return-Path: <' || fail "$(cat "$file")"
done
grep -q '^Return-Path: <root@example.com>' \
	$(find /home/user1/Maildir/new -type f) || fail myorigin
grep -q '^From: root <root@example.com>' \
	$(find /home/user1/Maildir/new -type f) || fail From
[ "$(mailq)" = "Mail queue is empty" ] || fail "$(mailq)"
postfix status || fail status
postfix stop
! postfix status || fail "status after stop"
""")


@needs_mail
def test_mail_host_mbox():
    host.run('MAILBOX="home_mailbox ="\n' + MAIL_HOST + r"""
wait_for 15 grep -q 'Subject: hello' /var/mail/root
wait_for 15 grep -q 'Subject: hi' /var/mail/user1
wait_for 15 grep -q 'Subject: by telnet' /var/mail/user2
[ "$(stat -c '%U %a' /var/mail/user1)" = 'user1 600' ] ||
	fail "$(stat /var/mail/user1)"
list=$(echo q | bsd-mailx -f /var/mail/user2)
echo "$list" | grep -q 'by telnet' || fail "$list"
postfix stop
""")


NULL_CLIENT = r"""
install_postrider
postconf -e 'relayhost = [mail.example.com]:2525' \
	'inet_interfaces = loopback-only' \
	'mynetworks = 127.0.0.0/8 [::1]/128' 'myhostname = client.example.com' \
	'myorigin = example.com' 'mydestination =' \
	'local_transport = error: local delivery disabled' \
	'minimal_backoff_time = 1s' 'queue_run_delay = 1s'
echo '127.0.0.1 mail.example.com' >>/etc/hosts
postconf -e 'smtp_host_lookup = native'
postfix check
useradd -m user1
"""


@needs_mail
@pytest.mark.slow
def test_null_client_to_postfix():
    import oracle
    oracle.root()
    host.run(NULL_CLIENT + r"""
postfix start
echo first | bsd-mailx -s queued someone@example.com
wait_for 15 grep -q 'status=deferred' /var/log/mail.log
grep -q 'Connection refused' /var/log/mail.log || fail "no reason in the log"
mailq | grep -q 'someone@example.com' || fail "$(mailq)"

cat >/tmp/relay.py <<'EOF'
import os, sys, time
sys.path.insert(0, os.environ["TOP"] + "/tests/lib")
import oracle
p = oracle.Postfix("/var/tmp", 2525, name="relay",
                   lib=oracle.root() + "/usr/lib/postfix", main={
    "myhostname": "mail.example.com", "mydestination": "example.com",
    "home_mailbox": "Maildir/", "local_recipient_maps": "",
    "luser_relay": "user1@example.com"})
p.start()
print("up", flush=True)
time.sleep(100)
EOF
/usr/bin/python3 /tmp/relay.py >/tmp/relay.out 2>&1 &
wait_for 20 grep -q up /tmp/relay.out
wait_for 30 grep -rq 'Subject: queued' /home/user1/Maildir/new
echo second | bsd-mailx -s direct other@example.com
wait_for 15 grep -rq 'Subject: direct' /home/user1/Maildir/new
[ ! -e /root/Maildir ] || fail "local delivery"
wait_for 15 sh -c '[ "$(mailq)" = "Mail queue is empty" ]'
postfix stop
""")


@needs_mail
def test_null_client_to_postrider():
    """What waits while the relay host is down leaves when it is back; the
    relay takes mail of its own domain from outside, and for nobody else."""
    host.run(NULL_CLIENT + r"""
postfix start
echo first | bsd-mailx -s queued someone@example.com
wait_for 15 grep -q 'status=deferred' /var/log/mail.log
cat >/tmp/relay.py <<'EOF'
import os, sys, time
sys.path.insert(0, os.environ["TOP"] + "/tests/lib")
import postrider
with postrider.Instance(directory="/var/tmp/relay", port=2525, main={
        "myhostname": "mail.example.com", "mydestination": "example.com",
        "mynetworks": "192.0.2.0/24", "home_mailbox": "Maildir/",
        "local_recipient_maps": "", "luser_relay": "user1@example.com"}):
    print("up", flush=True)
    time.sleep(100)
EOF
/usr/bin/python3 /tmp/relay.py >/tmp/relay.out 2>&1 &
wait_for 20 grep -q up /tmp/relay.out
wait_for 30 grep -rq 'Subject: queued' /home/user1/Maildir/new
echo second | bsd-mailx -s direct other@example.com
wait_for 15 grep -rq 'Subject: direct' /home/user1/Maildir/new
wait_for 15 sh -c '[ "$(mailq)" = "Mail queue is empty" ]'
[ ! -e /root/Maildir ] || fail "local delivery"
exec 3<>/dev/tcp/127.0.0.1/2525
expect() {
	read -r reply <&3
	case $reply in "$1"*) ;; *) fail "$reply, not $1" ;; esac
}
expect 220
printf 'helo localhost\r\nmail from:<a@b.example>\r\n' >&3; expect 250; expect 250
printf 'rcpt to:<x@elsewhere.example>\r\n' >&3; expect 454
printf 'quit\r\n' >&3
postfix stop
""")


@needs_mail
def test_null_client_delivers_nothing_locally():
    host.run(NULL_CLIENT + r"""
ip addr add 192.0.2.1/24 dev lo
postfix start
echo x | sendmail root@client.example.com
wait_for 15 grep -q 'to=<root@client.example.com>' /var/log/mail.log
[ ! -s /var/mail/root ] || fail "delivered to /var/mail/root"
if (exec 3<>/dev/tcp/192.0.2.1/25) 2>/dev/null; then
	fail "listens outside the loopback interface"
fi
postfix stop
""")
