# SPDX-License-Identifier: MIT
# Postrider. GNU make; everything that is built lies under build/.
#
#   make [MODE=release|asan|ubsan|fuzz|cov] [CC=gcc|clang]
#   make run | check | check-quick | check-asan | bench | lint | fmt | compdb
#   make install [DESTDIR=] | uninstall
#
# A program is FOLDER/NAME.c with its further modules in FOLDER/NAME_*.c;
# everything under lib/ is one archive. New files need no entry here, new
# programs one in DAEMONS or COMMANDS.

MODE ?= release
B := build/$(MODE)
ifeq ($(origin CC),default)
CC := gcc
endif
HOSTCC ?= cc
PYTHON ?= /usr/bin/python3

DAEMONS := master/master master/postlogd smtpd/smtpd smtpd/postscreen smtpd/authd \
	smtpd/verify pickup/pickup \
	qmgr/qmgr qmgr/bounce qmgr/showq conf/lookup smtp/smtp \
	smtp/resolver smtp/mtasts local/local local/virtual local/pipe local/spawn
COMMANDS := master/postfix master/postlog master/postmulti master/postkick \
	master/postlock pickup/sendmail pickup/postdrop \
	qmgr/postqueue qmgr/postsuper qmgr/postcat conf/postconf conf/postmap \
	smtp/posttls-finger
# Other names of the same program.
DAEMON_LINKS := lmtp:smtp
COMMAND_LINKS := postalias:postmap

# Where things are installed: Debian's layout of Postfix.
DESTDIR ?=
prefix ?= /usr
sbindir ?= $(prefix)/sbin
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib
daemondir ?= $(prefix)/lib/postfix/sbin
datadir ?= $(prefix)/share/postfix
mandir ?= $(prefix)/share/man
docdir ?= $(prefix)/share/doc/postrider
sysconfdir ?= /etc
spooldir ?= /var/spool/postfix
statedir ?= /var/lib/postfix

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla
CPPFLAGS_ALL := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -I$(B)/gen \
	$(CPPFLAGS)
CFLAGS ?= -O2 -g
CFLAGS_ALL = -std=c17 $(WARN) $(MODE_CFLAGS) $(CFLAGS) -fno-strict-aliasing \
	-fstack-protector-strong -fPIE
LDFLAGS_ALL = $(MODE_CFLAGS) $(MODE_LDFLAGS) -pie -Wl,-z,relro,-z,now \
	-Wl,--as-needed \
	$(LDFLAGS)
# --as-needed: a program is bound only to those that it uses.
LIBS := -levent_core -lunbound -lssl -lcrypto -lsasl2 -lpam -lpcre2-8 -llmdb -ldb \
	-lidn2 -lxxhash -lm -ldl
# The one program that fetches pages.
$(B)/libexec/mtasts: LIBS += -lcurl

ifeq ($(MODE),release)
MODE_CFLAGS := -D_FORTIFY_SOURCE=2
else ifeq ($(MODE),asan)
MODE_CFLAGS := -fsanitize=address,undefined -fno-omit-frame-pointer -O1 \
	-fno-sanitize-recover=undefined
# As shared libraries of gcc, the second one does not know where to report: the
# first one takes its calls.
ifeq ($(findstring clang,$(CC)),)
MODE_LDFLAGS := -static-libasan -static-libubsan
endif
else ifeq ($(MODE),ubsan)
MODE_CFLAGS := -fsanitize=undefined -fno-sanitize-recover=undefined -O1
else ifeq ($(MODE),fuzz)
CC := clang
MODE_CFLAGS := -fsanitize=address,undefined,fuzzer-no-link -O1 \
	-fno-omit-frame-pointer
else ifeq ($(MODE),cov)
MODE_CFLAGS := --coverage -O0
else
$(error MODE is release, asan, ubsan, fuzz or cov, not "$(MODE)")
endif

# V=1 shows the commands.
V ?= 0
ifeq ($(V),0)
Q = @echo '  $(1)' $(patsubst $(B)/%,%,$@);
endif

PROGRAMS := $(DAEMONS) $(COMMANDS)
LIB_SRC := $(sort $(wildcard lib/*/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o) $(B)/obj/gen/conf_params.o
LIB := $(B)/libpostrider.a

daemon_bins := $(foreach p,$(DAEMONS),$(B)/libexec/$(notdir $(p)))
command_bins := $(foreach p,$(COMMANDS),$(B)/sbin/$(notdir $(p)))
daemon_links := $(foreach l,$(DAEMON_LINKS),\
	$(B)/libexec/$(firstword $(subst :, ,$(l))))
command_links := $(foreach l,$(COMMAND_LINKS),\
	$(B)/sbin/$(firstword $(subst :, ,$(l))))

.PHONY: all run check check-quick check-asan bench lint fmt compdb install \
	uninstall clean deps fuzz unit man FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(daemon_bins) $(command_bins) $(daemon_links) $(command_links) man

# ---- generated: the parameter table ----

build/host/mkparams: conf/mkparams.c
	@mkdir -p $(@D)
	$(call Q,CC  )$(HOSTCC) -std=gnu17 -Wall -Wextra -O1 -o $@ $<

GEN := $(B)/gen/conf_params.h
$(B)/gen/conf_params.h $(B)/gen/conf_params.c $(B)/gen/postconf.5 &: \
		conf/params.def build/host/mkparams
	@mkdir -p $(B)/gen
	$(call Q,GEN )build/host/mkparams conf/params.def $(B)/gen

man: $(B)/gen/postconf.5

# ---- objects ----

$(B)/obj/gen/%.o: $(B)/gen/%.c $(GEN)
	@mkdir -p $(@D)
	$(call Q,CC  )$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	$(call Q,CC  )$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(call Q,AR  )ar rcs $@ $(LIB_OBJ)

# ---- programs ----

# What tells the sanitizers of a program where to report.
ifneq ($(filter asan ubsan,$(MODE)),)
SANITIZER := $(B)/obj/tests/lib/sanitizer.o
$(SANITIZER): $(B)/gen/sanitizer_reports.h | $(B)/reports
# Written when the folder is another one: a build tree may be a copy.
$(B)/gen/sanitizer_reports.h: FORCE
	@mkdir -p $(@D)
	@line='#define SANITIZER_REPORTS "$(abspath $(B))/reports"'; \
	echo "$$line" | cmp -s - $@ || echo "$$line" >$@
$(B)/reports:
	@mkdir -p -m 1777 $@
endif

define program_rule
$(B)/$(2)/$(notdir $(1)): \
		$(patsubst %.c,$(B)/obj/%.o,$(1).c $(wildcard $(1)_*.c)) \
		$(SANITIZER) $(LIB)
	@mkdir -p $$(@D)
	$$(call Q,LINK)$$(CC) $$(LDFLAGS_ALL) -o $$@ $$(filter-out $(LIB),$$^) $(LIB) $$(LIBS)
endef
$(foreach p,$(DAEMONS),$(eval $(call program_rule,$(p),libexec)))
$(foreach p,$(COMMANDS),$(eval $(call program_rule,$(p),sbin)))

# It looks and connects with the modules of the client, and may have to ask the
# name servers itself.
SMTP_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard smtp/smtp_*.c))
RESOLVER_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard smtp/resolver_*.c))
$(B)/sbin/posttls-finger: $(SMTP_OBJ) $(RESOLVER_OBJ)

define link_rule
$(B)/$(2)/$(firstword $(subst :, ,$(1))): $(B)/$(2)/$(lastword $(subst :, ,$(1)))
	@ln -sf $(lastword $(subst :, ,$(1))) $$@
endef
$(foreach l,$(DAEMON_LINKS),$(eval $(call link_rule,$(l),libexec)))
$(foreach l,$(COMMAND_LINKS),$(eval $(call link_rule,$(l),sbin)))

# ---- tests ----

UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/unit/%)
$(B)/unit/%: $(B)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(call Q,LINK)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(LIB) \
		$(LIBS) -lcmocka

unit: $(UNIT_BIN)
	@for t in $(UNIT_BIN); do echo "# $$t"; $$t || exit 1; done

# Programs of tests/system and tests/bench that are in C.
$(B)/tests/%: $(B)/obj/tests/%.o $(SANITIZER) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $< $(SANITIZER) $(LIB) $(LIBS)

FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(B)/fuzz/%)
$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(LIB)
	@mkdir -p $(@D)
	$(call Q,LINK)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ \
		$(filter %.o,$^) $(LIB) $(LIBS)

# Parts of a program that are tested by themselves.
$(B)/unit/test_postscreen $(B)/fuzz/fuzz_postscreen: \
	$(patsubst %,$(B)/obj/smtpd/postscreen_%.o,tests line sites)

# Targets for modules of smtpd.
SMTPD_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard smtpd/smtpd_*.c))
$(B)/fuzz/fuzz_smtpd_%: $(B)/obj/tests/fuzz/fuzz_smtpd_%.o $(SMTPD_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(call Q,LINK)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $< $(SMTPD_OBJ) $(LIB) $(LIBS)

fuzz:
	$(MAKE) MODE=fuzz fuzz-targets
.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_BIN)

deps:
	@sh tests/deps

run:
	@sh tests/deps run
	@$(MAKE) --no-print-directory all
	@sh tests/run-instance

check: deps
	@sh tests/check full

check-quick: deps
	@sh tests/check quick

# TESTS="tests/system/test_smtpd.py": only these.
check-asan: deps
	@sh tests/check asan $(TESTS)

bench: deps
	@$(MAKE) --no-print-directory all
	$(PYTHON) tests/bench/bench.py

lint:
	@sh tests/lint

fmt:
	clang-format -i $$(git ls-files '*.c' '*.h')

compdb:
	bear --output compile_commands.json -- $(MAKE) -B all

# ---- installation ----

install: all
	@DESTDIR='$(DESTDIR)' B='$(B)' sbindir='$(sbindir)' bindir='$(bindir)' \
	libdir='$(libdir)' daemondir='$(daemondir)' datadir='$(datadir)' \
	mandir='$(mandir)' docdir='$(docdir)' sysconfdir='$(sysconfdir)' \
	spooldir='$(spooldir)' statedir='$(statedir)' \
	sh conf/install.sh install

uninstall:
	@DESTDIR='$(DESTDIR)' B='$(B)' sbindir='$(sbindir)' bindir='$(bindir)' \
	libdir='$(libdir)' daemondir='$(daemondir)' datadir='$(datadir)' \
	mandir='$(mandir)' docdir='$(docdir)' sysconfdir='$(sysconfdir)' \
	spooldir='$(spooldir)' statedir='$(statedir)' \
	sh conf/install.sh uninstall

clean:
	rm -rf build

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
