# SPDX-License-Identifier: MIT
"""AUTH against real back ends, each in a throw-away copy of this host: Dovecot,
saslauthd, sasldb, and our own authd with PAM; with swaks, msmtp and smtplib as
clients. A user of /etc/shadow sends from outside after AUTH, and is refused
without."""
import os
import shutil
import subprocess
import sys

import pytest

import host
import oracle

pytestmark = pytest.mark.slow

SETUP = r"""
ip addr add 192.0.2.10/24 dev lo 2>/dev/null || true
useradd -m berta && echo berta:ge-heim | chpasswd
useradd -m otto && echo otto:otto-pw | chpasswd
install_postrider
# The restrictions as the tutorial has them; mail to others goes nowhere.
postconf -e myhostname=mail.example.com mydestination=mail.example.com \
	mynetworks=127.0.0.0/8 inet_interfaces=all inet_protocols=ipv4 \
	smtpd_sasl_auth_enable=yes broken_sasl_auth_clients=yes \
	smtpd_sasl_local_domain= smtpd_sasl_security_options=noanonymous \
	'smtpd_recipient_restrictions=permit_mynetworks,permit_sasl_authenticated,reject_unauth_destination,reject_unknown_sender_domain' \
	smtpd_relay_restrictions= transport_maps=static:discard: \
	smtpd_peername_lookup=no smtpd_error_sleep_time=0
# try NAME EXPECTED-EXIT ARGUMENTS...: swaks from outside to another domain
try() {
	name=$1; want=$2; shift 2
	got=0
	swaks --server 192.0.2.10 --local-interface 192.0.2.10 --helo out.example \
		--from berta@mail.example.com --to someone@remote.example \
		--body "from $name" "$@" >/tmp/swaks.$name 2>&1 || got=$?
	[ $got = $want ] || { cat /tmp/swaks.$name; fail "$name: $got, not $want"; }
}
# What all back ends must do with berta's password.
rounds() {
	try without 24
	grep -q 'Relay access denied' /tmp/swaks.without || fail "no reason"
	try plain 0 --auth PLAIN --auth-user berta --auth-password ge-heim
	try login 0 --auth LOGIN --auth-user berta --auth-password ge-heim
	try wrong 28 --auth PLAIN --auth-user berta --auth-password no
	grep -q '535 5.7.8 Error: authentication failed' /tmp/swaks.wrong ||
		fail "wrong password: $(cat /tmp/swaks.wrong)"
	try nobody 28 --auth LOGIN --auth-user nosuch --auth-password no
	grep -q '250-AUTH=PLAIN LOGIN' /tmp/swaks.plain || fail "no AUTH="
	grep -q 'sasl_method=LOGIN, sasl_username=berta' /var/log/mail.log ||
		fail "no login in the log"
	grep -q 'to=<someone@remote.example>.*status=sent' /var/log/mail.log ||
		wait_for 10 grep -q status=sent /var/log/mail.log
	grep -qE 'out.example|unknown.192.0.2.10.: SASL PLAIN authentication failed: .*sasl_username=' \
		/var/log/mail.log || fail "no failure in the log"
	! grep -e ge-heim -e Z2UtaGVpb -r /var/log/mail.log || fail "a password"
}
"""

DOVECOT = r"""
cat >/etc/dovecot/dovecot.conf <<'END'
protocols =
listen = 127.0.0.1
ssl = no
log_path = /var/log/dovecot.log
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-256
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u /etc/dovecot/users
}
passdb {
  driver = pam
}
userdb {
  driver = passwd
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
  inet_listener {
    address = 127.0.0.1
    port = 12345
  }
}
END
echo 'carla:{PLAIN}carlas-pw' >/etc/dovecot/users
dovecot
wait_for 10 test -S /var/spool/postfix/private/auth
"""

SHELL_CLIENTS = r"""
cat >/tmp/client.py <<'END'
import smtplib, sys
host, user, password, mech = sys.argv[1:]
s = smtplib.SMTP(host, 25, local_hostname="py.example", source_address=(host, 0))
s.ehlo()
s.user, s.password = user, password
s.auth(mech, getattr(s, "auth_" + mech.lower().replace("-", "_")))
s.sendmail(user + "@mail.example.com", ["someone@remote.example"],
           "Subject: x\r\n\r\nx\r\n")
s.quit()
END
"""


def need(*paths):
    for path in paths:
        if not os.path.exists(path) and not shutil.which(path):
            pytest.skip(f"{path} is not installed")


def test_dovecot():
    need("/usr/lib/dovecot/auth", "swaks", "msmtp")
    out = host.run(SETUP + DOVECOT + SHELL_CLIENTS + r"""
postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth
postfix start
rounds
/usr/bin/python3 /tmp/client.py 192.0.2.10 carla carlas-pw CRAM-MD5
/usr/bin/python3 /tmp/client.py 192.0.2.10 berta ge-heim PLAIN
/usr/bin/python3 /tmp/client.py 192.0.2.10 berta ge-heim LOGIN
for mech in scram-sha-256 cram-md5 plain login; do
	printf 'Subject: x\n\nx\n' | msmtp -C /dev/null --host=192.0.2.10 \
		--source-ip=192.0.2.10 --tls=off --auth=$mech --user=carla \
		--passwordeval='echo carlas-pw' --from=carla@mail.example.com \
		someone@remote.example || fail "msmtp $mech"
done
grep -q 'sasl_method=SCRAM-SHA-256, sasl_username=carla' /var/log/mail.log ||
	fail "no SCRAM"
# Over TCP, by number and by name.
for where in inet:127.0.0.1:12345 inet:localhost:12345 \
	/var/spool/postfix/private/auth; do
	postconf -e smtpd_sasl_path=$where
	postfix reload
	sleep 1
	try tcp 0 --auth PLAIN --auth-user berta --auth-password ge-heim
done
# It goes away, and comes back.
postconf -e smtpd_sasl_path=inet:127.0.0.1:12345
postfix reload
sleep 1
try before 0 --auth PLAIN --auth-user berta --auth-password ge-heim
# (Its auth process stays while somebody is connected.)
auth=$(pidof auth)
doveadm stop
kill $auth
cat >/tmp/down.py <<'END'
import smtplib, time
s = smtplib.SMTP("192.0.2.10", 25, local_hostname="py.example",
                 source_address=("192.0.2.10", 0))
for i in range(100):
    s.ehlo()
    if not s.has_extn("auth"):
        break
    time.sleep(0.1)
assert not s.has_extn("auth"), s.esmtp_features
assert s.docmd("AUTH PLAIN AGEAYg==")[0] == 454
assert s.docmd("NOOP")[0] == 250
END
/usr/bin/python3 /tmp/down.py || fail "down"
dovecot
wait_for 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/12345'
try after 0 --auth PLAIN --auth-user berta --auth-password ge-heim
postfix stop
doveadm stop
echo WELL
""", timeout=180)
    assert "WELL" in out


def test_tutorial_with_dovecots_own_files():
    """The files that Debian's Dovecot installs, changed where a tutorial says;
    its settings at the end of main.cf. The mail is read by IMAP."""
    need("/usr/lib/dovecot/auth", "/usr/lib/dovecot/imap", "swaks", "msmtp",
         "/etc/dovecot/conf.d/10-master.conf")
    out = host.run(r"""
ip addr add 192.0.2.10/24 dev lo
useradd -m berta && echo berta:ge-heim | chpasswd
useradd -m otto && echo otto:otto-pw | chpasswd
install_postrider
postconf -e 'myhostname = mail.example.com' 'mydomain = example.com' \
	'myorigin = $mydomain' 'inet_interfaces = all' 'inet_protocols = ipv4' \
	'mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain' \
	'mynetworks = 127.0.0.0/8' 'home_mailbox = Maildir/' \
	'smtpd_peername_lookup = no' 'smtpd_error_sleep_time = 0'
cat >>/etc/postfix/main.cf <<'END'

disable_vrfy_command = yes
smtpd_helo_required = yes
message_size_limit = 10240000

# SMTP-Auth settings
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_auth_enable = yes
smtpd_sasl_security_options = noanonymous
smtpd_sasl_local_domain = $myhostname
broken_sasl_auth_clients = yes
smtpd_recipient_restrictions = permit_mynetworks,
    permit_sasl_authenticated, reject_unauth_destination,
    reject_unknown_sender_domain
transport_maps = inline:{remote.example=discard:}
END
cd /etc/dovecot
sed -i 's/^#listen = .*/listen = */' dovecot.conf
sed -i -e 's/^#disable_plaintext_auth = .*/disable_plaintext_auth = no/' \
	-e 's/^auth_mechanisms = .*/auth_mechanisms = plain login/' \
	conf.d/10-auth.conf
sed -i 's|^mail_location = .*|mail_location = maildir:~/Maildir|' \
	conf.d/10-mail.conf
sed -i 's/^ssl = .*/ssl = no/; /^ssl_cert/d; /^ssl_key/d' conf.d/10-ssl.conf
sed -i '/^  #unix_listener .*private.auth {/,/^  #}/{
	s/^  #/  /
	s/mode = 0666/&\n    user = postfix\n    group = postfix/
}' conf.d/10-master.conf
cd /root
check=$(postfix check 2>&1) && [ -z "$check" ] || fail "check: $check"
start=$(postfix start 2>&1) || fail "start: $start"
dovecot
wait_for 10 test -S /var/spool/postfix/private/auth
wait_for 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/143'
send_to() {
	subject=$1; shift
	swaks --server 192.0.2.10 --local-interface 192.0.2.10 --helo out.example \
		--from berta@example.com --header "Subject: $subject" "$@" \
		>/tmp/swaks 2>&1
}
! send_to none --to someone@remote.example || fail "relayed without AUTH"
grep -q '454 4.7.1 <someone@remote.example>: Relay access denied' /tmp/swaks ||
	fail "$(cat /tmp/swaks)"
for mech in PLAIN LOGIN; do
	send_to $mech --to someone@remote.example,otto@example.com --auth $mech \
		--auth-user berta --auth-password ge-heim || fail "$(cat /tmp/swaks)"
done
# Mail from the world to a user here needs no password.
send_to world --to otto@example.com || fail "$(cat /tmp/swaks)"
wait_for 15 sh -c '[ $(ls /home/otto/Maildir/new | wc -l) = 3 ]'
cat >/tmp/imap.py <<'END'
import imaplib
box = imaplib.IMAP4("127.0.0.1")
box.login("otto", "otto-pw")
box.select()
numbers = box.search(None, "ALL")[1][0].split()
heads = [box.fetch(n, "(BODY[HEADER.FIELDS (SUBJECT)])")[1][0][1]
         for n in numbers]
print(sorted(h.split()[1].decode() for h in heads))
END
[ "$(/usr/bin/python3 /tmp/imap.py)" = "['LOGIN', 'PLAIN', 'world']" ] ||
	fail "IMAP: $(/usr/bin/python3 /tmp/imap.py)"
! grep -E 'warning|error:|fatal|panic' /var/log/mail.log || fail "the log"
postfix stop
doveadm stop
echo WELL
""", timeout=180)
    assert "WELL" in out


def test_authd_instead_of_dovecot():
    need("swaks")
    out = host.run(SETUP + r"""
postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth
postfix start
rounds
# The superuser is not for guessing; an account that has expired is none.
echo root:root-pw | chpasswd
try root 28 --auth PLAIN --auth-user root --auth-password root-pw
chage -E 2001-01-01 otto
try expired 28 --auth PLAIN --auth-user otto --auth-password otto-pw
chage -E -1 otto
try otto 0 --auth PLAIN --auth-user otto --auth-password otto-pw
# Nobody else may ask.
cat >/tmp/ask.py <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/var/spool/postfix/private/authd")
if sys.argv[1] != "root":
    os.setuid(int(sys.argv[1]))  # too late: who connected counts
print(s.recv(100).startswith(b"VERSION\t1\t"))
END
[ "$(/usr/bin/python3 /tmp/ask.py root)" = True ] || fail "root may not ask"
chmod 777 /var/spool/postfix /var/spool/postfix/private \
	/var/spool/postfix/private/authd
cat >/tmp/stranger.py <<'END'
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("/var/spool/postfix/private/authd")
print(s.recv(100))
END
[ "$(su otto -c '/usr/bin/python3 /tmp/stranger.py')" = "b''" ] ||
	fail "a stranger may ask"
chmod 755 /var/spool/postfix; chmod 700 /var/spool/postfix/private
# It is killed in between, and nobody notices.
kill -KILL $(pidof authd)
try again 0 --auth PLAIN --auth-user berta --auth-password ge-heim
# Its failures are answered late.
t=$(date +%s%N)
try late 28 --auth PLAIN --auth-user berta --auth-password no
[ $((($(date +%s%N) - t) / 1000000)) -ge 2000 ] || fail "too fast"
postfix stop
echo WELL
""", timeout=180)
    assert "WELL" in out


def test_nothing_configured_but_the_switch():
    """smtpd_sasl_auth_enable = yes, and no other program installed."""
    need("swaks")
    out = host.run(SETUP + r"""
rm -rf /etc/postfix/sasl /usr/lib/sasl2/smtpd.conf /etc/sasldb2
[ "$(postconf -h smtpd_sasl_type)" = cyrus ] || fail "not the default"
postfix start
rounds
postfix stop
echo WELL
""", timeout=180)
    assert "WELL" in out


def saslauthd(mechanism, chroot):
    where = ("/var/spool/postfix/var/run/saslauthd" if chroot
             else "/var/run/saslauthd")
    out = host.run(SETUP + rf"""
ln -sfn /run /var/run
mkdir -p /etc/postfix/sasl {where}
chgrp sasl {where}; chmod 710 {where}
usermod -aG sasl postfix
cat >/etc/postfix/sasl/smtpd.conf <<'END'
pwcheck_method: saslauthd
mech_list: PLAIN LOGIN
END
postconf -e smtpd_sasl_type=cyrus smtpd_sasl_path=smtpd
postconf -F smtp/inet/chroot={"y" if chroot else "n"}
# Not yet there: a temporary refusal.
postfix start
try missing 28 --auth PLAIN --auth-user berta --auth-password ge-heim
grep -q '454 4.7.0 Temporary authentication failure: generic failure' \
	/tmp/swaks.missing || fail "$(cat /tmp/swaks.missing)"
saslauthd -a {mechanism} -m {where} -n 2
wait_for 10 test -S {where}/mux
rounds
testsaslauthd -u berta -p ge-heim -s smtp -f {where}/mux >/dev/null || fail mux
postfix stop
kill $(cat {where}/saslauthd.pid)
echo WELL
""", timeout=180)
    assert "WELL" in out


@pytest.mark.parametrize("mechanism, chroot", [("shadow", False),
                                               ("pam", True)])
def test_saslauthd(mechanism, chroot):
    need("/usr/sbin/saslauthd", "swaks")
    saslauthd(mechanism, chroot)


def test_sasldb():
    need("/usr/sbin/saslpasswd2", "swaks")
    out = host.run(SETUP + SHELL_CLIENTS + r"""
mkdir -p /etc/postfix/sasl
cat >/etc/postfix/sasl/smtpd.conf <<'END'
pwcheck_method: auxprop
auxprop_plugin: sasldb
mech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-256
END
echo ge-heim | saslpasswd2 -p -c -u mail.example.com berta
chgrp sasl /etc/sasldb2; chmod 640 /etc/sasldb2
usermod -aG sasl postfix
postconf -F smtp/inet/chroot=n
postfix start
try plain 0 --auth PLAIN --auth-user berta --auth-password ge-heim
try realm 0 --auth PLAIN --auth-user berta@mail.example.com --auth-password ge-heim
try wrong 28 --auth PLAIN --auth-user berta --auth-password no
/usr/bin/python3 /tmp/client.py 192.0.2.10 berta ge-heim CRAM-MD5
for mech in scram-sha-256 cram-md5 digest-md5; do
	printf 'Subject: x\n\nx\n' | msmtp -C /dev/null --host=192.0.2.10 \
		--source-ip=192.0.2.10 --tls=off --auth=$mech --user=berta \
		--passwordeval='echo ge-heim' --from=berta@mail.example.com \
		someone@remote.example || fail "msmtp $mech"
done
postfix stop
echo WELL
""", timeout=180)
    assert "WELL" in out


def test_cyrus_as_postfix():
    """The same replies and log lines as Debian's Postfix."""
    need("/usr/sbin/saslpasswd2")
    if os.geteuid() != 0:
        pytest.skip("needs namespaces")
    oracle.root()
    done = subprocess.run(
        [sys.executable, os.path.join(os.path.dirname(__file__),
                                      "sasl_side_by_side.py")],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
