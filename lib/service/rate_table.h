/* SPDX-License-Identifier: MIT */
/*
 * rate_table - how often each client did something, counted together by all
 * workers of a service, and how many connections it has.
 *
 * The table lies in memory that is mapped before the first worker is forked.
 * Rates are counted in windows of fixed length, one entry per client in sets
 * of RATE_WAYS; where a set is full the oldest entry goes, those whose window
 * is over first. Which set a client has depends on a random number, so that
 * nobody can choose whose entry goes. The lock is a robust mutex: a worker
 * that is killed while it holds it costs nothing but, maybe, one count.
 *
 * Connections are not counted up and down: each worker's slot names the
 * client that it serves, and looking through the slots gives the number. So
 * a killed worker leaves nothing behind once its slot was cleared.
 */
#ifndef LIB_SERVICE_RATE_TABLE_H
#define LIB_SERVICE_RATE_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { RATE_WAYS = 8 };

/* A client: the family and the bits of the address that count. */
struct rate_key {
	uint8_t family; /* 4 or 6; 0: none */
	uint8_t bits;
	uint8_t addr[16];
};

/* addr in text form; bits beyond v4_bits or v6_bits become 0. false: it is
 * not an address. */
bool rate_key_parse(const char *addr, int v4_bits, int v6_bits,
		    struct rate_key *key);
enum { RATE_KEY_TEXT = 64 };
/* "192.0.2.1", "2001:db8::/64" where not all bits count. */
void rate_key_format(const struct rate_key *key, char out[RATE_KEY_TEXT]);

enum rate_kind {
	RATE_CONNECT,
	RATE_MAIL,
	RATE_RCPT,
	RATE_NEW_TLS,
	RATE_AUTH,
	RATE_KINDS,
};

/* The highest value of a kind since rate_take_peaks(). */
struct rate_peak {
	int value; /* 0: nothing was counted */
	struct rate_key key;
	time_t when;
};

struct rate_peaks {
	struct rate_peak rate[RATE_KINDS];
	struct rate_peak connections;
	int entries;
	time_t entries_when;
};

struct rate_table;

/* Mapped memory for that many entries and workers; never NULL. window in
 * microseconds. Lives as long as the process. */
struct rate_table *rate_table_new(int entries, int slots, int64_t window);

/* One more; the number in this window. now is io_monotonic(). */
int rate_add(struct rate_table *t, const struct rate_key *key,
	     enum rate_kind kind, int64_t now);
/* Without counting. */
int rate_get(struct rate_table *t, const struct rate_key *key,
	     enum rate_kind kind, int64_t now);
/* The worker of slot serves this client from now on; how many connections
 * the client has, this one included. */
int rate_connected(struct rate_table *t, int slot, const struct rate_key *key);
/* The client, or the worker, is gone. */
void rate_disconnected(struct rate_table *t, int slot);
/* Forget what is older than a window. */
void rate_sweep(struct rate_table *t, int64_t now);
/* Copy the peaks and start afresh. */
void rate_take_peaks(struct rate_table *t, struct rate_peaks *out);

#endif
