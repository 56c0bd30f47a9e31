#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh install|uninstall: called by make, which sets the directories.
#
# Debian's layout of Postfix. What an administrator may have written (main.cf,
# master.cf, aliases) is never overwritten and never removed, nor is the queue.
# Without DESTDIR the accounts are made as well.
set -e
cd "$(dirname "$0")/.."
: "${B:=build/release}" "${sbindir:=/usr/sbin}" "${bindir:=/usr/bin}"
: "${libdir:=/usr/lib}" "${daemondir:=/usr/lib/postfix/sbin}"
: "${datadir:=/usr/share/postfix}" "${mandir:=/usr/share/man}"
: "${docdir:=/usr/share/doc/postrider}" "${sysconfdir:=/etc}"
: "${spooldir:=/var/spool/postfix}" "${statedir:=/var/lib/postfix}"
unitdir=$libdir/systemd/system
etc=$sysconfdir/postfix
owner=postfix
setgid=postdrop

# File by file under a new name, then renamed: a running daemon keeps its text,
# and a symbolic link of another package is replaced, not followed.
put() { # MODE SOURCE TARGET
	mkdir -p "$DESTDIR$(dirname "$3")"
	cp "$2" "$DESTDIR$3.new"
	chmod "$1" "$DESTDIR$3.new"
	mv -f "$DESTDIR$3.new" "$DESTDIR$3"
}

put_once() { # MODE SOURCE TARGET
	if [ ! -e "$DESTDIR$3" ] && [ -f "$2" ]; then
		put "$1" "$2" "$3"
	fi
}

link_to() { # DESTINATION NAME
	mkdir -p "$DESTDIR$(dirname "$2")"
	ln -sfn "$1" "$DESTDIR$2"
}

# In a DESTDIR the accounts may not exist; who unpacks it sets the owners.
own() { # OWNER:GROUP PATH
	if ! chown "$1" "$DESTDIR$2" 2>/dev/null; then
		[ -n "$DESTDIR" ] || return 1
		echo "note: $2 should belong to $1"
	fi
}

make_dir() { # MODE OWNER:GROUP PATH
	mkdir -p "$DESTDIR$3"
	own "$2" "$3"
	chmod "$1" "$DESTDIR$3"
}

make_accounts() {
	getent group $setgid >/dev/null || groupadd --system $setgid
	getent group $owner >/dev/null || groupadd --system $owner
	getent passwd $owner >/dev/null ||
		useradd --system --gid $owner --home-dir "$spooldir" \
			--no-create-home --shell /usr/sbin/nologin $owner
}

install_programs() {
	for file in "$B"/libexec/*; do
		name=${file##*/}
		if [ -L "$file" ]; then
			link_to "$(readlink "$file")" "$daemondir/$name"
		else
			put 755 "$file" "$daemondir/$name"
		fi
	done
	for file in "$B"/sbin/*; do
		name=${file##*/}
		if [ -L "$file" ]; then
			link_to "$(readlink "$file")" "$sbindir/$name"
		else
			put 755 "$file" "$sbindir/$name"
		fi
	done
	for name in postdrop postqueue; do
		[ -f "$DESTDIR$sbindir/$name" ] || continue
		own root:$setgid "$sbindir/$name"
		chmod 2555 "$DESTDIR$sbindir/$name"
	done
	link_to "$sbindir/sendmail" "$bindir/mailq"
	link_to "$sbindir/sendmail" "$bindir/newaliases"
	link_to "$sbindir/sendmail" "$libdir/sendmail"
}

manual_pages() {
	ls master/*.[158] smtpd/*.[158] pickup/*.[158] qmgr/*.[158] \
		smtp/*.[158] local/*.[158] conf/*.[158] "$B/gen/postconf.5" \
		2>/dev/null || true
}

install_texts() {
	for file in $(manual_pages); do
		section=${file##*.}
		put 644 "$file" "$mandir/man$section/${file##*/}"
	done
	for file in README.md INSTALL LICENSE CHANGES.md docs/*.md; do
		[ ! -f "$file" ] || put 644 "$file" "$docdir/${file##*/}"
	done
}

install_configuration() {
	for name in main.cf master.cf; do
		put_once 644 conf/$name "$etc/$name"
		[ ! -f conf/$name ] ||
			put 644 conf/$name "$datadir/$name.dist"
		# What "postmulti -e create" starts from.
		put_once 644 conf/$name "$etc/$name.proto"
	done
	put_once 644 conf/aliases "$sysconfdir/aliases"
	put 644 conf/postfix.service "$unitdir/postfix.service"
}

install_directories() {
	make_dir 755 root:root "$spooldir"
	for name in active bounce corrupt defer deferred flush hold incoming \
		private saved trace; do
		make_dir 700 $owner:root "$spooldir/$name"
	done
	make_dir 755 root:root "$spooldir/pid"
	make_dir 1730 $owner:$setgid "$spooldir/maildrop"
	make_dir 2710 $owner:$setgid "$spooldir/public"
	make_dir 700 $owner:$owner "$statedir"
}

# newaliases as the administrator would run it, so that local(8) finds a table.
build_aliases() {
	[ -z "$DESTDIR" ] && [ -f "$sysconfdir/aliases" ] &&
		[ ! -e "$sysconfdir/aliases.db" ] || return 0
	"$bindir/newaliases" ||
		echo "note: run newaliases when main.cf is complete"
}

do_uninstall() {
	for file in "$B"/libexec/*; do
		rm -f "$DESTDIR$daemondir/${file##*/}"
	done
	for file in "$B"/sbin/*; do
		rm -f "$DESTDIR$sbindir/${file##*/}"
	done
	for name in "$bindir/mailq" "$bindir/newaliases" "$libdir/sendmail"; do
		[ "$(readlink "$DESTDIR$name")" != "$sbindir/sendmail" ] ||
			rm -f "$DESTDIR$name"
	done
	for file in $(manual_pages); do
		rm -f "$DESTDIR$mandir/man${file##*.}/${file##*/}"
	done
	rm -f "$DESTDIR$datadir/main.cf.dist" "$DESTDIR$datadir/master.cf.dist"
	if cmp -s conf/postfix.service "$DESTDIR$unitdir/postfix.service"; then
		rm -f "$DESTDIR$unitdir/postfix.service"
	fi
	rm -rf "$DESTDIR$docdir"
	rmdir "$DESTDIR$daemondir" "$DESTDIR$datadir" 2>/dev/null || true
	echo "kept: $etc, $sysconfdir/aliases, $spooldir, $statedir," \
		"user $owner, groups $owner and $setgid"
}

case $1 in
install)
	[ -n "$DESTDIR" ] || make_accounts
	install_programs
	install_texts
	install_configuration
	install_directories
	build_aliases
	;;
uninstall)
	do_uninstall
	;;
*)
	echo "usage: install.sh install|uninstall" >&2
	exit 2
	;;
esac
