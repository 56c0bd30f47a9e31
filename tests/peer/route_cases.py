# SPDX-License-Identifier: MIT
"""What route_side_by_side.py sends: tables, zone, hosts file, transports, and
who is written to. SCRATCH in a text is the test's folder.

h1.test to h12.test are servers (127.3.0.1 and so on), r1.test to r8.test are
hosts where nobody listens (127.3.0.101 ...), v1.test to v4.test have both
families, x1.test to x4.test IPv6 only."""

GOOD, REFUSING = range(1, 13), range(1, 9)

# Servers beside the good ones: address: stages.
SCRIPTED = {
    "127.3.0.50": {"rcpt": "450 4.2.0 grey"},
    "127.3.0.51": {"banner": "421 4.3.2 service shutting down"},
    "127.3.0.52": {"banner": "554 5.7.1 no service"},
    "127.3.0.53": {"banner": "220 same.example.com ESMTP"},
    "127.3.0.54": {"name": "same.example.com", "banner": "220 x ESMTP"},
}

# Keys: "NAME TYPE DATA" as in dns_server.py.
ZONE = "".join(f"h{i}.test A 127.3.0.{i}\n" for i in GOOD)
ZONE += "".join(f"r{i}.test A 127.3.0.{100 + i}\n" for i in REFUSING)
ZONE += "".join(f"v{i}.test A 127.3.0.{i}\nv{i}.test AAAA fd00:3::{i}\n"
                f"x{i}.test AAAA fd00:3::{i}\n" for i in range(1, 5))
ZONE += """
grey.test A 127.3.0.50
busy.test A 127.3.0.51
closed.test A 127.3.0.52
greets.test A 127.3.0.53
mirror.test A 127.3.0.54
me.test A 127.0.0.1
me6.test AAAA ::1
proxy.test A 203.0.113.9
two.test A 127.3.0.101
two.test A 127.3.0.2
mixed4.test A 127.3.0.101
mixed4.test AAAA fd00:3::1
mixed6.test A 127.3.0.1
mixed6.test AAAA fd00:3::101

mx1.dns.test MX 10 h1.test
mx2.dns.test MX 20 h1.test
mx2.dns.test MX 10 h2.test
mxdown.dns.test MX 10 r1.test
mxdown.dns.test MX 20 r2.test
mxdown.dns.test MX 30 h3.test
mxup.dns.test MX 10 busy.test
mxup.dns.test MX 20 h3.test
mxclosed.dns.test MX 10 closed.test
mxclosed.dns.test MX 20 h4.test
mxgrey.dns.test MX 10 grey.test
mxgrey.dns.test MX 20 h5.test
mxgreys.dns.test MX 10 grey.test
mxgreys.dns.test MX 20 grey.test
mxgreys.dns.test MX 30 h5.test
nomx.dns.test A 127.3.0.3
nomxdown.dns.test A 127.3.0.108
txt.dns.test TXT hello
deep.empty.dns.test A 127.3.0.1
null.dns.test MX 0 .
null10.dns.test MX 10 .
nullplus.dns.test MX 0 .
nullplus.dns.test MX 10 h1.test
nullplusa.dns.test MX 0 .
nullplusa.dns.test A 127.3.0.1
cname.dns.test CNAME mx1.dns.test
cnamea.dns.test CNAME h2.test
cname2.dns.test CNAME cname.dns.test
cnamegone.dns.test CNAME gone.dns.test
cnametxt.dns.test CNAME txt.dns.test
mxtocname.dns.test MX 10 alias.test
alias.test CNAME h4.test
mxtocname2.dns.test MX 10 alias2.test
alias2.test CNAME alias.test
mxtogone.dns.test MX 10 gone.test
mxtogone2.dns.test MX 10 gone.test
mxtogone2.dns.test MX 20 h1.test
mxtotxt.dns.test MX 10 txt.dns.test
mxtofail.dns.test MX 10 fail.test
mxtofail2.dns.test MX 10 fail.test
mxtofail2.dns.test MX 20 h2.test
mxtofail3.dns.test MX 10 fail.test
mxtofail3.dns.test MX 20 gone.test
mxtofail4.dns.test MX 10 gone.test
mxtofail4.dns.test MX 20 fail.test
fail.test SERVFAIL
servfail.dns.test SERVFAIL
refused.dns.test REFUSED
numeric.dns.test MX 10 127.3.0.1
numeric6.dns.test MX 10 fd00:3::1
numericdown.dns.test MX 10 127.3.0.101
selfonly.dns.test MX 10 me.test
self2.dns.test MX 10 me.test
self2.dns.test MX 20 h1.test
selfworse.dns.test MX 10 h2.test
selfworse.dns.test MX 20 me.test
selfworse.dns.test MX 30 h3.test
selfdown.dns.test MX 10 r2.test
selfdown.dns.test MX 20 me.test
selfsame.dns.test MX 10 h2.test
selfsame.dns.test MX 10 me.test
selfa.dns.test A 127.0.0.1
self6.dns.test MX 10 me6.test
proxymx.dns.test MX 10 proxy.test
proxyworse.dns.test MX 10 h6.test
proxyworse.dns.test MX 20 proxy.test
selfgone.dns.test MX 10 gone.test
selfgone.dns.test MX 20 me.test
greets.dns.test MX 10 greets.test
mirror.dns.test MX 10 mirror.test
mirror2.dns.test MX 10 mirror.test
mirror2.dns.test MX 20 h1.test
under_score.dns.test MX 10 h1.test
mxunder.dns.test MX 10 h_1.test
h_1.test A 127.3.0.1
mxhyphen.dns.test MX 10 -h.test
mxhyphen2.dns.test MX 10 -h.test
mxhyphen2.dns.test MX 20 h1.test
twoaddr.dns.test MX 10 two.test
many.dns.test A 127.3.0.9
v6only.dns.test MX 10 x1.test
both.dns.test MX 10 v1.test
cnamemxself.dns.test CNAME selfonly.dns.test
xn--bcher-kva.dns.test MX 10 h7.test
xn--nx6c.dns.test A 127.3.0.8
upper.dns.test MX 10 UP.Host.example
up.host.example A 127.3.0.1
xn--wgv.dns.test A 127.3.0.8
mx6.dns.test MX 10 x1.test
selfmix.dns.test MX 10 fail.test
selfmix.dns.test MX 20 me.test
mxempty.dns.test MX 10 two.test
h1.sub.example.com A 127.3.0.1
wild.dns.test MX 10 h1.test
*.wild.dns.test MX 10 h2.test
trunc.dns.test TRUNCATE
trunc.dns.test MX 10 h1.test
a.opt.test MX 10 mixed4.test
b.opt.test MX 10 mixed6.test
c.opt.test MX 10 r1.test
c.opt.test MX 10 r2.test
c.opt.test MX 20 v3.test
gone.opt.test MX 10 gone.test
fail.opt.test SERVFAIL
fail2.opt.test A 127.3.0.1
cn.opt.test MX 10 alias.test
self.opt.test MX 10 me.test
selfa.opt.test A 127.0.0.1
hosts.opt.test A 127.3.0.1
dnsonly.opt.test A 127.3.0.2
dnsonly.opt.test MX 10 h3.test
greys.opt.test MX 10 grey.test
greys.opt.test MX 20 grey.test
greys.opt.test MX 30 h1.test
filt.opt.test MX 10 h1.test
filt.opt.test MX 20 h2.test
filtall.opt.test MX 10 f1.test
filta.opt.test MX 10 fa.test
filta.opt.test MX 20 h2.test
filtaall.opt.test MX 10 fa.test
fa.test A 127.3.0.1
f1.test A 127.3.0.1
filtbad.opt.test MX 10 bad.test
bad.test A 127.3.0.1
failhosts.opt.test SERVFAIL
short.example.com A 127.3.0.3
deepshort.example.com MX 10 h4.test
xn--bcher-kva.nul.idn.test MX 0 .
xn--bcher-kva.self.idn.test MX 10 me.test
xn--bcher-kva.down.idn.test A 127.3.0.108
xn--bcher-kva.num.idn.test MX 10 127.3.0.1
xn--bcher-kva.fail.idn.test SERVFAIL
xn--bcher-kva.gone.idn.test MX 10 gone.test
relay.test MX 10 h2.test
direct.test MX 10 h3.test
loc.test MX 10 h3.test
"""
ZONE += "".join(f"many.dns.test MX {10 + i} r{i}.test\n" for i in REFUSING)
ZONE += "many.dns.test MX 99 h1.test\n"
ZONE += "".join(f"big.dns.test MX 10 q{i}.big.test\nq{i}.big.test A 127.3.0.1\n"
                for i in range(60))
ZONE += "".join(f"bal.opt.test MX 10 r{i}.test\n" for i in range(1, 7))
ZONE += "bal.opt.test MX 10 x2.test\n"
ZONE += "".join(f"bal2.opt.test MX {i} r{i}.test\n" for i in range(1, 7))
ZONE += "bal2.opt.test MX 50 x2.test\n"

HOSTS = """127.0.0.1 localhost
::1 localhost
127.3.0.5 hosts.opt.test
127.3.0.6 fileonly.opt.test fileonly
127.3.0.6 failhosts.opt.test
fd00:3::2 file6.opt.test
127.3.0.7 fileonly.example.com
"""

# Transports: arguments of smtp(8), or of lmtp(8) after "lmtp".
OPTIONS = {
    "plain": "", "plain2": "",
    "bind": "smtp_bind_address=127.7.0.1",
    "bindbr": "smtp_bind_address=[127.7.0.2]",
    "bindbad": "smtp_bind_address=192.0.2.1",
    "bindbade": "smtp_bind_address=192.0.2.1 smtp_bind_address_enforce=yes",
    "bindsyn": "smtp_bind_address=bogus",
    "bindsyne": "smtp_bind_address=bogus smtp_bind_address_enforce=yes",
    "bindcross": "smtp_bind_address=fd00:7::1",
    "bindv4": "smtp_bind_address=127.7.0.9 smtp_bind_address6=fd00:7::1",
    "bind6": "smtp_bind_address6=fd00:7::1",
    "bind6br": "smtp_bind_address6=[fd00:7::1]",
    "bind6bad": "smtp_bind_address6=2001:db8::1",
    "bind6bade": "smtp_bind_address6=2001:db8::1 smtp_bind_address_enforce=yes",
    "iface": "inet_interfaces=127.7.0.3",
    "iface2": "inet_interfaces=127.0.0.1,127.7.0.3",
    "iface6": "inet_interfaces=127.7.0.3,fd00:7::1",
    "ifacebad": "inet_interfaces=192.0.2.7",
    "ifacebade": "inet_interfaces=192.0.2.7 smtp_bind_address_enforce=yes",
    "helo": "smtp_helo_name=client1.example.com",
    "helolit": "smtp_helo_name=[127.7.0.1]",
    "myname": "myhostname=other.example.com",
    "v4": "inet_protocols=ipv4 inet_interfaces=127.0.0.1",
    "v6": "inet_protocols=ipv6 inet_interfaces=::1 proxy_interfaces=",
    "pref4": "smtp_address_preference=ipv4",
    "pref6": "smtp_address_preference=ipv6",
    "nobal": "smtp_balance_inet_protocols=no smtp_address_preference=ipv4",
    "bal": "smtp_address_preference=ipv4",
    "bal6": "smtp_address_preference=ipv4 smtp_mx_address_limit=6",
    "bal2": "smtp_address_preference=ipv4 smtp_mx_address_limit=2",
    "bal1": "smtp_address_preference=ipv4 smtp_mx_address_limit=1",
    "alim0": "smtp_mx_address_limit=0",
    "alim1": "smtp_mx_address_limit=1",
    "slim0": "smtp_mx_session_limit=0",
    "slim1": "smtp_mx_session_limit=1",
    "defnoaddr": "smtp_defer_if_no_mx_address_found=yes",
    "ignore": "ignore_mx_lookup_error=yes",
    "cname": "smtp_cname_overrides_servername=yes",
    "nodns": "disable_dns_lookups=yes",
    "nodns2": "disable_dns_lookups=yes smtp_dns_support_level=enabled",
    "dnsoff": "smtp_dns_support_level=disabled",
    "dnssec": "smtp_dns_support_level=dnssec",
    "native": "smtp_host_lookup=native",
    "natdns2": "{smtp_host_lookup=native dns}",
    "natdns": "{smtp_host_lookup=native,dns}",
    "dnsnat": "{smtp_host_lookup=dns,native}",
    "back": "{smtp_fallback_relay=[h5.test]}",
    "back2": "{smtp_fallback_relay=[r5.test], h6.test}",
    "backport": "{smtp_fallback_relay=[h5.test]:2525}",
    "backmx": "{smtp_fallback_relay=mx1.dns.test}",
    "backgone": "{smtp_fallback_relay=[gone.test]}",
    "backup": "{smtp_fallback_relay=[H5.Test]}",
    "relayp": "relayhost=[gone.test]",
    "relayp2": "{relayhost=[r1.test], [gone.test]}",
    "relayp3": "relayhost=gone2.gone.test",
    "relayp4": "relayhost=[gone.test]:2525",
    "relayp5": "relayhost=txt.dns.test",
    "relayp6": "relayhost=null.dns.test",
    "backold": "{fallback_relay=[h7.test]}",
    "best": "best_mx_transport=plain:[h4.test]",
    "best2": "best_mx_transport=plain",
    "bestlmtp": "{best_mx_transport=lmtp:inet:[127.3.0.240]}",
    "bestloc": "best_mx_transport=discard:bin",
    "besterr": "{best_mx_transport=error:5.1.2 not here}",
    "bestgone": "best_mx_transport=nosuchtransport",
    "defnames": "smtp_dns_resolver_options=res_defnames",
    "dnsrch": "smtp_dns_resolver_options=res_dnsrch",
    "filter": "smtp_dns_reply_filter=regexp:SCRATCH/filter",
    "filtbad": "smtp_dns_reply_filter=inline:{h1.test.=X}",
    "p2525": "smtp_tcp_port=2525",
    "pname": "{known_tcp_ports=foo=2525}",
    "lm": "lmtp", "lm2": "lmtp",
    "lmhelo": "lmtp lmtp_lhlo_name=lhlo.example.com",
    "lmport": "lmtp lmtp_tcp_port=2024",
    "lmback": "lmtp {lmtp_fallback_relay=inet:[127.3.0.240]}",
    "lmbind": "lmtp lmtp_bind_address=127.7.0.4",
    "lmfilter": "lmtp lmtp_dns_reply_filter=regexp:SCRATCH/filter",
    "wait": "",
}
# A destination that makes no sense stops a transport of Postfix for a while,
# so each has its own.
BAD = ["[h1.test", "h1.test:", "[h1.test]:", "[h1.test]x", "[]", ":25",
       "h1.test:nosuchport", "h1.test:0", "h1.test:65536", "h1.test:-1", ",",
       "[h1.test]:25x", "unix:SCRATCH/lmtp.sock", "h1.test.", "[h1.test.]",
       "inet:h1.test", "[127.3.1]", "-h.test", "a..b.test", "fd00:3::1"]
BAD_LMTP = ["unix:", "inet:", "[127.3.0.240"]
for number, _ in enumerate(BAD):
    OPTIONS[f"bad{number}"] = ""
for number, _ in enumerate(BAD_LMTP):
    OPTIONS[f"badl{number}"] = "lmtp"

FILTER = """/^filtall\\.opt\\.test\\. [0-9]+ IN MX 10 f1\\.test\\.$/ IGNORE
/^filt\\.opt\\.test\\. .* MX 10 / ignore
/^fa\\.test\\. [0-9]+ IN A 127/ IGNORE
/^h9\\.test/ WHATEVER
/^filtbad\\.opt\\.test/ WHATEVER
/^x3\\.test\\. [0-9]+ IN AAAA fd00:3::3$/ IGNORE
/^v3\\.test\\. [0-9]+ IN AAAA fd00:3::3$/ IGNORE
"""

TRANSPORT = """
.dns.test plain:
.idn.test plain:
.opt.test plain:
k1.key.test plain:[h1.test]
.key.test plain:[h2.test]
u@key.test plain:[h3.test]
u+e@key.test plain:[h4.test]
key.test plain:[h5.test]
upper.key.test plain:[h6.test]
q\\ q@key.test plain:[h1.test]
"q q"@key.test plain:[h7.test]
w@k1.key.test plain:[h8.test]
null1.key.test :
null2.key.test plain:
null3.key.test :[h9.test]
null4.key.test plain
null5.key.test : [h1.test]
err1.key.test error:
err2.key.test error:5.7.1 go away
err3.key.test error:mail for *.key.test is not deliverable
err4.key.test error:4.7.1 later maybe
err5.key.test retry:4.3.0 wait a bit
err6.key.test retry:
err7.key.test error
err9.key.test error:2.0.0 fine
err10.key.test retry:5.7.1 no
err11.key.test retry:text only
disc3.key.test discard:2.1.7 ok
disc4.key.test discard:4.1.1 x
disc.key.test discard:
disc2.key.test discard:5.7.1 silently
unknown.key.test nosuchtransport:
wait.key.test wait:[h1.test]
relay2.test :[h10.test]
[127.3.0.77] plain:[h11.test]
lit@[127.3.0.78] plain:[h12.test]
loc.test :[h3.test]
mailer-daemon@same.example.com plain:[h6.test]
rl.way.test relayp2:[r1.test], [gone.test]
rl2.way.test relayp2:[gone.test]
f1.nh.test plain:h1.test
f2.nh.test plain:h1.test:2525
f3.nh.test plain:[h1.test]
f4.nh.test plain:[h1.test]:2525
f5.nh.test plain:[127.3.0.1]
f6.nh.test plain:[127.3.0.1]:2525
f7.nh.test plain:127.3.0.1
f8.nh.test plain:127.3.0.1:2525
f9.nh.test plain:[ipv6:fd00:3::1]
f10.nh.test plain:[IPv6:fd00:3::1]:2525
f11.nh.test plain:[fd00:3::1]
f12.nh.test plain:[fd00:3::1]:2525
f14.nh.test plain:[r1.test], [h2.test]
f15.nh.test plain:[r1.test] [r2.test]	[h2.test]
f16.nh.test plain:[r1.test],[gone.test],[h2.test]
f17.nh.test plain:[gone.test], [r1.test]
f18.nh.test plain:[r1.test], [gone.test]
f19.nh.test plain:[grey.test], [h2.test]
f20.nh.test plain:mxdown.dns.test
f21.nh.test plain:mx2.dns.test:2525
f22.nh.test plain:[mx2.dns.test]
f23.nh.test plain:H12.Test
f24.nh.test plain:h1.test:smtp
f25.nh.test plain:h1.test:submission
f26.nh.test plain:[h1.test]:25
f27.nh.test plain:me.test
f28.nh.test plain:[me.test]
f29.nh.test plain:[me.test]:2525
f30.nh.test plain:selfonly.dns.test:2525
f31.nh.test plain:null.dns.test
f32.nh.test plain:selfonly.dns.test, h2.test
f33.nh.test plain:null.dns.test, h2.test
f34.nh.test plain:servfail.dns.test, h2.test
f35.nh.test plain:[h1.test],
f38.nh.test plain:b\u00fccher.dns.test
f39.nh.test plain:[me6.test]
f40.nh.test plain:fileonly.opt.test
f41.nh.test plain:[127.3.0.1], [127.3.0.2]
f44.nh.test plain:gone.nowhere.test
f45.nh.test plain2:servfail.dns.test
f46.nh.test plain:[servfail.dns.test]
f47.nh.test plain:[numeric.dns.test]
f48.nh.test plain:[proxy.test]
f49.nh.test plain:[203.0.113.9]
f50.nh.test plain:[127.0.0.1]
f51.nh.test plain:[::1]
f52.nh.test plain:[localhost]
f53.nh.test plain:under_score.dns.test
f57.nh.test plain:[r1.test], selfonly.dns.test
f58.nh.test plain:[gone.test], null.dns.test, h2.test
f59.nh.test plain:[r1.test], servfail.dns.test
f60.nh.test plain:servfail.dns.test, [gone.test]
f61.nh.test plain:[closed.test], [h2.test]
f62.nh.test plain:[grey.test], [busy.test], [gone.test]
f63.nh.test plain:SelfOnly.dns.test
f64.nh.test plain:[R2.test]
f65.nh.test plain:Gone.DNS.test
f56.nh.test plain:[0.0.0.0]
l1.nh.test lm:unix:SCRATCH/lmtp.sock
l2.nh.test lm:unix:SCRATCH/nobody.sock
l3.nh.test lm:inet:127.3.0.240
l4.nh.test lm:inet:[127.3.0.240]:24
l5.nh.test lm:127.3.0.240
l6.nh.test lm:[127.3.0.240]:24
l7.nh.test lm:h1.test
l8.nh.test lm:mx1.dns.test
l9.nh.test lm:inet:lm.test
l10.nh.test lm:unix:SCRATCH/nobody.sock, inet:[127.3.0.240]
l11.nh.test lm2:inet:[127.3.0.249], unix:SCRATCH/lmtp.sock
l12.nh.test lm:inet:[fd00:3::f0]
l14.nh.test lm:inet:[gone.test]
l15.nh.test lm:null.dns.test
l16.nh.test lm:me.test:24
l17.nh.test lm:inet:127.3.0.240:2024
l18.nh.test lmhelo:inet:[127.3.0.240]
l19.nh.test lmport:inet:[127.3.0.240]
l20.nh.test lmback:inet:[127.3.0.249]
l21.nh.test lmbind:inet:[127.3.0.240]
l22.nh.test lmfilter:inet:[fa.test]
l23.nh.test lm:cnamea.dns.test
"""
TRANSPORT += "".join(f"b{i}.bad.test bad{i}:{text}\n"
                     for i, text in enumerate(BAD))
TRANSPORT += "".join(f"l{i}.bad.test badl{i}:{text}\n"
                     for i, text in enumerate(BAD_LMTP))
ZONE += "lm.test A 127.3.0.240\n"

# By domain of opt.test, the transports it is tried with: the local part.
OPT = """
a.opt bind bindbr bindbad bindbade bindcross
[h1.test] bindsyn bindsyne
[h1.test] iface iface2 ifacebad ifacebade helo helolit myname p2525
[x2.test] bind6 bind6br bind6bad bind6bade iface6
[v2.test] bindv4 v4 v6 pref4 pref6 bindbade bind6bade
a.opt v4 v6 pref4 pref6 plain
b.opt v4 v6 pref4 pref6 plain
c.opt pref4 pref6 alim0 alim1 v4 v6
bal.opt bal nobal bal6 bal2 bal1 pref6 alim0
bal2.opt bal nobal bal6 bal2 bal1 pref6 alim0
[127.3.0.1] v6 v4
[fd00:3::1] v4 v6
many.dns alim0 alim1 back
greys.opt slim0 slim1 plain back
gone.opt defnoaddr plain back
nowhere.opt defnoaddr ignore native dnsnat back
fail.opt ignore plain back native dnsnat nodns dnssec
servfail.dns ignore
[fail.test] back native natdns dnsnat dnsoff
cn.opt cname plain
[alias.test] cname plain
cnamea.dns cname
self.opt best best2 bestlmtp bestloc besterr bestgone back plain
selfa.opt best back2
self2.dns best
mirror.dns best back
selfgone.dns best back
proxymx.dns best
hosts.opt natdns2 native natdns dnsnat plain nodns dnsoff nodns2
fileonly.opt native natdns dnsnat plain nodns dnsoff nodns2
dnsonly.opt native natdns dnsnat nodns dnsoff nodns2
file6.opt native dnsnat dnsoff
gone.dns native natdns dnsnat nodns dnsoff
txt.dns native natdns dnsnat nodns dnsoff
null.dns dnsoff back native defnoaddr
mx1.dns dnssec back
mxdown.dns back back2
[r1.test] back back2 backport backmx backgone backold
[grey.test] back back2
[busy.test] back
[closed.test] back
[gone.test] back backgone relayp relayp2 relayp3 relayp4
[gone.test]:2525 relayp relayp4
gone2.gone relayp3 relayp
txt.dns relayp5
null.dns relayp6
[r7.test] backup
mxtofail.dns dnsnat defnoaddr back
mxtogone.dns dnsnat defnoaddr
[short] defnames dnsrch plain native dnsnat
deepshort defnames dnsrch plain
[h1.sub] defnames dnsrch plain
[fileonly] native dnsnat dnsoff
filt.opt filter filtbad plain
filtall.opt filter
filta.opt filter
filtaall.opt filter
filtbad.opt filter
[fa.test] filter
[h9.test] filter
[failhosts.opt.test] native natdns dnsnat plain dnssec dnsoff
[x3.test] filter
[v3.test] filter
[h1.test]:foo pname
[h1.test] filtbad
"""

RELAY = """
r1@send.test [h1.test]
r2@send.test h2.test
r3@send.test mx2.dns.test
r4@send.test [h1.test]:2525
r5@send.test [r1.test], [h5.test]
r6@send.test h6.test:587
r7@send.test DUNNO
r8@send.test dunno
@r9.send.test [h9.test]
r10+x@send.test [h10.test]
r10@send.test [h11.test]
r12@send.test [127.3.0.12]
r13@send.test selfonly.dns.test
r14@send.test [r1.test] [r2.test]
<> [h8.test]
both@send.test [h7.test]
"""
DEFAULT = """
d1@send.test plain2:
d2@send.test plain2:[h2.test]
d3@send.test DUNNO
d6@send.test error:5.7.1 you may not
d7@send.test lm:inet:[127.3.0.240]
@d8.send.test plain2:mx2.dns.test
d9@send.test plain2
<> plain:
both@send.test plain2:
"""
RELOCATED = """
moved@key.test new@there.test
@gone.key.test somewhere else
moved2 new@there.test
"""
VIRTUAL = "alias@valias.test v1@k1.key.test\n"
PATTERN = "/^pat(.*)@p\\.test$/ plain:[h1.test]\n/@p2\\.test$/ plain:[$0]\n" \
    "/^x(.*)@p3\\.test$/ plain:[$1.test]\n"

MAIN = {
    "myhostname": "same.example.com", "mydomain": "example.com",
    "mydestination": "$myhostname, localhost, example.com",
    "inet_interfaces": "127.0.0.1, [::1]", "inet_protocols": "all",
    "proxy_interfaces": "203.0.113.9",
    "local_recipient_maps": "", "local_transport": "discard:local",
    "relayhost": "[r3.test]:2525, h3.test",
    "relay_domains": "relay.test, relay2.test",
    "virtual_alias_domains": "valias.test",
    "virtual_alias_maps": "texthash:SCRATCH/virtual",
    "transport_maps": "texthash:SCRATCH/transport, regexp:SCRATCH/pattern, "
                      "inline:{ in1.test=plain:[h9.test] }",
    "relocated_maps": "texthash:SCRATCH/relocated",
    "sender_dependent_relayhost_maps": "texthash:SCRATCH/relay",
    "sender_dependent_default_transport_maps": "texthash:SCRATCH/default",
    "defer_transports": "wait", "recipient_delimiter": "+",
    "smtp_dns_support_level": "", "smtp_host_lookup": "dns",
    "smtp_randomize_addresses": "no", "lmtp_randomize_addresses": "no",
    "smtp_connect_timeout": "5s", "notify_classes": "",
    "smtp_connection_cache_on_demand": "no",
    "lmtp_connection_cache_on_demand": "no",
    "bounce_queue_lifetime": "1d", "in_flow_delay": "0",
    "initial_destination_concurrency": "1",
    "transport_retry_time": "600s",
    "default_destination_concurrency_failed_cohort_limit": "0", "append_dot_mydomain": "no",
}


def opt_table():
    """Lines of transport_maps and recipients for OPT."""
    lines, rcpts = "", []
    for line in OPT.strip().split("\n"):
        where, *names = line.split()
        for name in names:
            domain = f"o{len(rcpts)}.way.test"
            if "[" in where or "." not in where:
                nexthop = where
            else:
                nexthop = where + ".test"
            lines += f"{domain} {name}:{nexthop}\n"
            rcpts.append(f"{name}@{domain}")
    return lines, rcpts


def domains_of(text, suffix):
    """First words that end so, once each, in order."""
    words = (line.split()[0] for line in text.split("\n") if line.split())
    return list(dict.fromkeys(
        w for w in words if w.endswith(suffix) and w[0] not in ".*"))


def messages():
    """[(sender, recipients)]"""
    out = [("s@example.com",
            [f"d@{d}" for d in domains_of(ZONE, ".dns.test")]
            + ["d@gone.dns.test", "d@a.wild.dns.test", "d@h.empty.dns.test",
               "d@empty.dns.test", "d@h1.test.dns.test"]),
           ("s@example.com",
            [f"n@{d}" for d in domains_of(TRANSPORT, ".nh.test")]
            + [f"n@{d}" for d in domains_of(TRANSPORT, ".bad.test")]),
           ("s@example.com",
            [f"k@{d}" for d in domains_of(TRANSPORT, ".key.test")
             if "@" not in d]
            + ["k@a.b.key.test", "k@x.k1.key.test", "u@key.test",
               "u+e@key.test", "u+f@key.test", "w@k1.key.test",
               "w+x@k1.key.test", "k@key.test", "KK@UPPER.Key.Test",
               '"q q"@key.test', "moved@key.test", "moved+x@key.test",
               "any@gone.key.test", "moved2@example.com", "alias@valias.test",
               "nobody@valias.test", "pat1@p.test", "x@p2.test", "xh1@p3.test", "k@in1.test",
               "k@sub.in1.test", "k@relay.test", "k@relay2.test",
               "k@sub.relay.test", "k@other.test", "k@[127.3.0.77]",
               "lit@[127.3.0.78]", "k@[127.3.0.1]", "k@[IPv6:fd00:3::1]",
               "k@[fd00:3::1]", "k@[127.0.0.1]", "k@[203.0.113.9]", "k@[::1]",
               "k@127.3.0.1", "k@[127.3.1]", "k@[foo]", "k@loc.test",
               "k%relay.test@example.com", "k@example.com", "k", "k@localhost"])]
    ways = opt_table()[1]
    out += [("s@example.com", ways[i::4]) for i in range(4)]
    for table in (RELAY, DEFAULT):
        for word in (line.split()[0] for line in table.strip().split("\n")):
            sender = {"<>": "", "@": "any" + word}.get(word[:2].rstrip("rd"), word)
            mark = word.strip("<>@").replace("@", ".").replace("+", ".") or "null"
            to = [f"{mark}@other.test", f"{mark}@relay.test",
                  f"{mark}@mx1.dns.test", f"{mark}.null@null1.key.test"]
            if (sender, to) not in out:
                out.append((sender, to))
    out.append(("r10+x@send.test", ["plus@other.test"]))
    out.append(("r10+y@send.test", ["plusy@other.test"]))
    out.append(("R1@Send.Test", ["upper@other.test"]))
    out.append(("s@example.com", ["u@b\u00fccher.dns.test", "u@\u65e5.dns.test",
                                  "U@xn--bcher-kva.dns.test"]
                + [f"u@b\u00fccher.{x}.idn.test" for x in
                   ("nul", "self", "down", "num", "fail", "gone", "none")]))
    out.append(("s@example.com", ["l@rl.way.test", "l@rl2.way.test"]))
    return out


# Logged under another address, or None: not a recipient that is waited for.
OTHER_NAME = {
    "k": "k@same.example.com", "k@127.3.0.1": None,
    "alias@valias.test": "v1@k1.key.test",
    "k%relay.test@example.com": "k@relay.test",
}

# Where Postrider's result is another one on purpose (docs/DIFFERENCES.md): a
# part of ours. Postfix's process ends in the middle of most of them.
_SENT, _BAD = "status=sent", "dsn=4.3.5, status=deferred (bad destination: "
OURS = {
    "n@f52.nh.test": "loops back to myself",
    "n@l10.nh.test": _SENT, "n@l11.nh.test": _SENT, "n@l20.nh.test": _SENT,
    "n@l0.bad.test": _BAD + "unix:)", "n@l1.bad.test": _BAD + ")",
    "n@l2.bad.test": _BAD + "[127.3.0.240)",
    "bestgone@": "dsn=4.3.0, status=deferred (mail transport unavailable)",
    "bindsyn@": "dsn=4.4.0, status=deferred (server configuration error)",
    "bindsyne@": "dsn=4.4.0, status=deferred (server configuration error)",
    "ifacebad@": _SENT, "ifacebade@": _SENT,
    "n@b10.bad.test": "dsn=4.3.5, status=deferred (no destination)",
    "n@b19.bad.test": _SENT,
}
for number, text in ((6, "nosuchport"), (7, "0"), (8, "65536"), (9, "-1"),
                     (11, "25x"), (12, "SCRATCH/lmtp.sock"), (15, "h1.test")):
    OURS[f"n@b{number}.bad.test"] = (
        f"dsn=4.3.5, status=deferred (unknown service: {text}/tcp)")
for number in (0, 3, 4, 5, 13, 14, 16, 17, 18):
    OURS[f"n@b{number}.bad.test"] = _BAD + BAD[number] + ")"


def ours(rcpt):
    """What OURS has for a recipient, or None."""
    return OURS.get(rcpt) or OURS.get(rcpt.split("@")[0] + "@")


def logged(rcpts):
    """The addresses that results are waited for."""
    named = [OTHER_NAME.get(rcpt, rcpt) for rcpt in rcpts]
    return [rcpt for rcpt in named if rcpt]


def expected():
    """All of them."""
    return [r for _, rcpts in messages() for r in logged(rcpts)]
