# SPDX-License-Identifier: MIT
"""A mail server with an own authority, typed on a copy of this host as
tutorials have it: the certificate, STARTTLS on 25, the submission and smtps
lines of Debian's master.cf. Other people's mail programs send through both
with a password of /etc/shadow."""
import os
import shutil

import pytest

import host
import oracle

pytestmark = pytest.mark.slow

AUTHORITY = r"""
mkdir -p /etc/pki/CA && cd /etc/pki/CA
openssl req -new -x509 -nodes -days 3650 -newkey rsa:2048 -keyout ca.key \
	-out ca.crt -subj '/C=XX/O=Example/CN=Example Authority' 2>/dev/null
openssl req -new -nodes -newkey rsa:2048 -keyout mail.key -out mail.csr \
	-subj '/C=XX/O=Example/CN=mail.example.com' 2>/dev/null
printf 'subjectAltName=DNS:mail.example.com\n' >ext
openssl x509 -req -in mail.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
	-days 365 -extfile ext -out mail.crt 2>/dev/null
chmod 600 *.key
mkdir -p /etc/postfix/certs
cp mail.crt mail.key ca.crt /etc/postfix/certs
cd /root
"""

SETUP = r"""
ip addr add 192.0.2.10/24 dev lo
echo '192.0.2.10 mail.example.com' >>/etc/hosts
useradd -m berta && echo berta:ge-heim | chpasswd
useradd -m carla
install_postrider
""" + AUTHORITY + r"""
postconf -e 'myhostname = mail.example.com' 'mydomain = example.com' \
	'mydestination = $myhostname, example.com' 'inet_interfaces = all' \
	'inet_protocols = ipv4' 'mynetworks = 127.0.0.0/8' \
	'home_mailbox = Maildir/' 'smtpd_peername_lookup = no' \
	'smtpd_sasl_auth_enable = yes' 'smtpd_sasl_type = dovecot' \
	'smtpd_sasl_path = private/auth' \
	'smtpd_sasl_security_options = noanonymous' \
	'smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination' \
	'smtpd_tls_security_level = may' \
	'smtpd_tls_cert_file = /etc/postfix/certs/mail.crt' \
	'smtpd_tls_key_file = /etc/postfix/certs/mail.key' \
	'smtpd_tls_CAfile = /etc/postfix/certs/ca.crt' \
	'smtpd_tls_loglevel = 1' 'smtpd_tls_received_header = yes' \
	'smtpd_tls_session_cache_timeout = 3600s' \
	'smtpd_tls_auth_only = yes' 'tls_random_source = dev:/dev/urandom' \
	'transport_maps = inline:{remote.example=discard:}'
# Takes the comment sign from the lines of one service.
uncomment() {
	awk -v name="$1" '
		$1 == "#" name && $2 == "inet" { on = 1; sub(/^#/, ""); print; next }
		on && /^# *-o / { sub(/^#/, ""); print; next }
		on && /^#   / { print; next }
		{ on = 0; print }' /etc/postfix/master.cf >/tmp/master.cf
	cat /tmp/master.cf >/etc/postfix/master.cf
}
# (What looks whether port 465 listens does not speak TLS.)
clean_log() {
	! grep -v 'SSL_accept error' /var/log/mail.log |
		grep -E 'warning|error|fatal|panic' || fail "the log"
}
started() {
	out=$(postfix check 2>&1) && [ -z "$out" ] || fail "check: $out"
	out=$(postfix start 2>&1) || fail "start: $out"
	! echo "$out" | grep -i -E 'warning|fatal' || fail "start: $out"
	for port in "$@"; do
		wait_for 10 bash -c "exec 3<>/dev/tcp/192.0.2.10/$port"
	done
}
"""

SERVICES = r"""
uncomment submission
uncomment submissions
grep -q '^submission ' /etc/postfix/master.cf || fail "no submission line"
grep -q '^submissions ' /etc/postfix/master.cf || fail "no submissions line"
[ $(grep -c '^  -o milter_macro_daemon_name=ORIGINATING' \
	/etc/postfix/master.cf) = 2 ] || fail "$(cat /etc/postfix/master.cf)"
"""

# trust PORT [OPTION...]: s_client says that the certificate is good.
TUTORIAL = r"""
trust() {
	port=$1; shift
	(sleep 1; printf 'EHLO out.example\r\n'; sleep 0.3; printf 'QUIT\r\n') |
	openssl s_client -connect 192.0.2.10:$port -verify_return_error \
		-CAfile /etc/pki/CA/ca.crt -verify_hostname mail.example.com \
		-crlf -quiet "$@" >/tmp/s_client 2>&1 ||
		fail "s_client $port: $(cat /tmp/s_client)"
	grep -q '^250-AUTH PLAIN LOGIN' /tmp/s_client ||
		fail "$port: $(cat /tmp/s_client)"
	grep -q 'verify return:1' /tmp/s_client || fail "$(cat /tmp/s_client)"
}
"""


def need(*programs):
    for name in programs:
        if not shutil.which(name, path="/usr/sbin:/usr/bin"):
            pytest.skip(f"{name} is not installed")


def test_own_authority():
    """STARTTLS on 25 and SMTPS on 465; without the authority, or with a name
    that is not in the certificate, clients do not trust it."""
    need("openssl", "swaks")
    host.run(SETUP + TUTORIAL + r"""
cat >>/etc/postfix/master.cf <<'EOF'
smtps     inet  n       -       n       -       -       smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
EOF
grep -q '^smtps' /etc/services || echo 'smtps 465/tcp' >>/etc/services
postconf -M 'submission/inet=submission inet n - y - - smtpd'
postconf -P submission/inet/syslog_name=postfix/submission \
	submission/inet/smtpd_tls_security_level=encrypt \
	submission/inet/smtpd_sasl_auth_enable=yes \
	submission/inet/smtpd_client_restrictions=permit_sasl_authenticated,reject \
	submission/inet/milter_macro_daemon_name=ORIGINATING
started 25 587 465
trust 25 -starttls smtp
trust 465
# The client restrictions of the line refuse who has not logged in.
port_587() {
	swaks --server mail.example.com --port 587 --tls --helo out.example \
		--from berta@example.com --to carla@example.com "$@" \
		>/tmp/swaks 2>&1
}
! port_587 || fail "without AUTH: $(cat /tmp/swaks)"
grep -q '554 5.7.1 <unknown.192.0.2.10.>: Client host rejected: Access denied' \
	/tmp/swaks || fail "$(cat /tmp/swaks)"
port_587 --auth-user berta --auth-password ge-heim || fail "$(cat /tmp/swaks)"
for wrong in -no-CAfile \
	'-CAfile /etc/pki/CA/ca.crt -verify_hostname other.example.com'; do
	! openssl s_client -connect 192.0.2.10:465 -verify_return_error \
		$wrong -quiet </dev/null \
		>/tmp/s_client 2>&1 || fail "trusted: $wrong"
	grep -q 'verify error' /tmp/s_client || fail "$(cat /tmp/s_client)"
done
# No AUTH before TLS.
exec 3<>/dev/tcp/192.0.2.10/25
printf 'EHLO x\r\nAUTH PLAIN AGEAYg==\r\nQUIT\r\n' >&3
cat <&3 >/tmp/plain
! grep -q '250.AUTH' /tmp/plain || fail "AUTH in the clear"
grep -q '^250-STARTTLS' /tmp/plain || fail "$(cat /tmp/plain)"
grep -q '^503 5.5.1 ' /tmp/plain || fail "$(cat /tmp/plain)"
grep -q 'Anonymous TLS connection established from unknown.192.0.2.10.: TLSv1.3' \
	/var/log/mail.log || fail "no TLS in the log"
postfix stop
! grep -v 'SSL_accept error\|TLS library problem' /var/log/mail.log |
	grep -E 'warning|error:|fatal|panic' || fail "the log"
""")


CLIENTS = r"""
wait_mail() {	# wait_mail SUBJECT PROTOCOL
	wait_for 15 grep -rl "^Subject: $1\$" /home/carla/Maildir/new
	file=$(grep -rl "^Subject: $1\$" /home/carla/Maildir/new)
	grep -q "with $2 id" "$file" || fail "$1: $(cat "$file")"
	grep -q '^Return-Path: <berta@example.com>' "$file" ||
		fail "$1: $(cat "$file")"
}
TO="carla@example.com someone@remote.example"
nail() {	# nail NAME URL SETTING...
	name=$1; url=$2; shift 2
	for set; do set -- "$@" -S "$set"; shift; done
	printf 'body\n.\n' | s-nail -:/ -S v15-compat -S mta="$url" \
		-S smtp-hostname=example.com -S from=berta@example.com \
		-S tls-ca-file=/etc/pki/CA/ca.crt -S tls-ca-no-defaults \
		-S tls-verify=strict "$@" -s "$name" $TO >/tmp/client.out 2>&1
}
mutt_() {	# mutt_ NAME URL SETTING
	printf 'body\n.\n' | mutt -n -F /dev/null -e "set smtp_url=$2 $3" \
		-e 'set certificate_file=/etc/pki/CA/ca.crt' \
		-e 'set copy=no hostname=out.example' \
		-e 'set from=berta@example.com use_envelope_from=yes' \
		-e 'set envelope_from_address=berta@example.com' \
		-s "$1" -- $TO >/tmp/client.out 2>&1
}
msmtp_() {	# msmtp_ NAME PORT OPTION...
	name=$1 port=$2; shift 2
	printf 'Subject: %s\n\nbody\n' "$name" | msmtp -C /dev/null \
		--host=mail.example.com --port=$port --tls=on --auth=plain \
		--tls-trust-file=/etc/pki/CA/ca.crt --user=berta \
		--passwordeval='echo ge-heim' --from=berta@example.com "$@" \
		$TO >/tmp/client.out 2>&1
}
good() { "$@" || fail "$*: $(cat /tmp/client.out)"; }
bad() { ! "$@" || fail "worked: $*: $(cat /tmp/client.out)"; }
rounds() {
	U=berta:ge-heim@mail.example.com
	good nail nail587 submission://$U smtp-auth=plain smtp-use-starttls
	wait_mail nail587 ESMTPSA
	good nail nail465 submissions://$U smtp-auth=login
	wait_mail nail465 ESMTPSA
	good mutt_ mutt587 smtp://$U:587/ 'ssl_starttls=yes ssl_force_tls=yes'
	wait_mail mutt587 ESMTPSA
	good mutt_ mutt465 smtps://$U:465/ 'smtp_authenticators=plain'
	wait_mail mutt465 ESMTPSA
	good msmtp_ msmtp587 587
	wait_mail msmtp587 ESMTPSA
	good msmtp_ msmtp465 465 --tls-starttls=off
	wait_mail msmtp465 ESMTPSA
	for port in 587 465; do
		/usr/bin/python3 /tmp/client.py $port || fail "smtplib $port"
		wait_mail smtplib$port ESMTPSA
		on=--tls; [ $port = 587 ] || on=--tls-on-connect
		swaks --server mail.example.com --port $port $on --tls-verify \
			--tls-ca-path /etc/pki/CA/ca.crt --helo out.example \
			--from berta@example.com --to carla@example.com \
			--auth-user berta --auth-password ge-heim \
			--header "Subject: swaks$port" >/tmp/client.out 2>&1 ||
			fail "swaks $port: $(cat /tmp/client.out)"
		wait_mail swaks$port ESMTPSA
	done
	# Everybody logged in, under the name of the service.
	for s in submission submissions; do
		# nail, mutt, msmtp, smtplib, swaks
		[ $(grep -c "postfix/$s/smtpd.*sasl_method=[A-Z]*, sasl_username=berta" \
			/var/log/mail.log) = 5 ] || fail "$s: logins"
	done
	wait_for 15 sh -c '[ $(grep -c "to=<someone@remote.example>.*status=sent" \
		/var/log/mail.log) = 6 ]'
	clean_log
	! grep -r -e ge-heim -e Z2UtaGVpb /var/log/mail.log || fail "a password"
	# Refused: no password, a wrong one, nothing without TLS, no authority.
	bad nail none submission://mail.example.com smtp-auth=none smtp-use-starttls
	grep -q '554 5.7.1.*Client host rejected\|554 5.7.1.*Access denied' \
		/tmp/client.out || fail "$(cat /tmp/client.out)"
	bad nail wrong submission://berta:no@mail.example.com smtp-auth=plain smtp-use-starttls
	bad mutt_ wrong smtps://berta:no@mail.example.com:465/ ''
	bad nail clear smtp://$U:587 smtp-auth=plain
	bad msmtp_ untrusted 587 --tls-trust-file=/etc/ssl/certs/ca-certificates.crt
	grep -q 'certificate' /tmp/client.out || fail "$(cat /tmp/client.out)"
	[ "$(grep -c 'SASL [A-Z]* authentication failed' /var/log/mail.log)" -ge 2 ] ||
		fail "no failures in the log"
	exec 3<>/dev/tcp/192.0.2.10/587
	printf 'EHLO x\r\nMAIL FROM:<berta@example.com>\r\nQUIT\r\n' >&3
	grep -q '^530 5.7.0 Must issue a STARTTLS command first' <&3 ||
		fail "mail without TLS"
	[ $(find /home/carla/Maildir/new -type f | wc -l) = 10 ] ||
		fail "$(ls /home/carla/Maildir/new)"
	postfix stop
}
cat >/tmp/client.py <<'EOF'
import smtplib, ssl, sys
port = int(sys.argv[1])
context = ssl.create_default_context(cafile="/etc/pki/CA/ca.crt")
args = dict(local_hostname="out.example", timeout=30)
if port == 465:
    s = smtplib.SMTP_SSL("mail.example.com", port, context=context, **args)
else:
    s = smtplib.SMTP("mail.example.com", port, **args)
    s.ehlo()
    assert not s.has_extn("auth")
    s.starttls(context=context)
s.login("berta", "ge-heim")
s.sendmail("berta@example.com", ["carla@example.com"],
           f"Subject: smtplib{port}\r\n\r\nx\r\n")
s.quit()
EOF
"""

PROGRAMS = ("openssl", "s-nail", "mutt", "msmtp", "swaks")


def test_our_master_cf():
    """The lines as they lie in the sample, without the comment signs; users
    of /etc/shadow through authd."""
    need(*PROGRAMS)
    host.run(SETUP + TUTORIAL + SERVICES + CLIENTS + r"""
started 25 587 465
trust 587 -starttls smtp
trust 465
rounds
""", timeout=180)


def test_debians_master_cf_with_dovecot():
    """Debian's own master.cf, its two services opened; passwords by Dovecot."""
    need(*PROGRAMS)
    if not os.path.exists("/usr/lib/dovecot/auth"):
        pytest.skip("Dovecot is not installed")
    stock = oracle.root() + "/usr/share/postfix/master.cf.dist"
    with open(stock) as text:
        lines = text.read()
    host.run(SETUP + TUTORIAL + f"""
cat >/etc/postfix/master.cf <<'END-OF-MASTER'
{lines}END-OF-MASTER
""" + SERVICES + CLIENTS + r"""
cat >/etc/dovecot/dovecot.conf <<'END'
protocols =
listen = 127.0.0.1
ssl = no
log_path = /var/log/dovecot.log
disable_plaintext_auth = no
auth_mechanisms = plain login
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
}
END
dovecot
wait_for 10 test -S /var/spool/postfix/private/auth
started 25 587 465
rounds
doveadm stop
""", timeout=180)
