/* SPDX-License-Identifier: MIT */
/*
 * postscreen_dnsbl - the score of a client from DNS block and allow lists,
 * asked of the resolver service without waiting.
 *
 * Sessions of the same address share one score while any of them lives.
 * Questions under way are counted; beyond DNSBL_QUERIES_MAX a list is left
 * out. Each address that a list answers is logged as Postfix's dnsblog does.
 */
#ifndef SMTPD_POSTSCREEN_DNSBL_H
#define SMTPD_POSTSCREEN_DNSBL_H

#include <stdbool.h>

struct event_base;
struct dnsbl_watch;

enum { DNSBL_QUERIES_MAX = 1500 };

struct dnsbl_result {
	bool complete; /* every list has answered, or failed */
	int score;
	int ttl;            /* seconds; 0: no answer had one */
	const char *domain; /* the heaviest list that counts; "" */
};

/* Check and keep postscreen_dnsbl_sites; fatal when it is wrong. */
void postscreen_dnsbl_open(void);
bool postscreen_dnsbl_enabled(void);
void postscreen_dnsbl_start(struct event_base *base);
/* changed is called after each answer, never from within this call; arg is the
 * caller's. End it with postscreen_dnsbl_drop(). */
struct dnsbl_watch *postscreen_dnsbl_ask(const char *addr,
					 void (*changed)(void *arg), void *arg);
/* domain stays valid while the watch does. */
void postscreen_dnsbl_result(const struct dnsbl_watch *w,
			     struct dnsbl_result *out);
void postscreen_dnsbl_drop(struct dnsbl_watch *w);

#endif
