/* SPDX-License-Identifier: MIT */
/*
 * tls_context - what all TLS connections of a service have in common, made
 * once, before jail(): keys, certificates and authorities are read here.
 *
 * tls_session.h is the life of one connection.
 */
#ifndef LIB_TLS_TLS_CONTEXT_H
#define LIB_TLS_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/table/table.h"

struct tls_tickets;

/* Strings are borrowed and must live as long as the context; "" is none. */
struct tls_config {
	bool server;
	const char *chain_files; /* in the place of the six that follow */
	const char *cert_file, *key_file;
	const char *dcert_file, *dkey_file;
	const char *eccert_file, *eckey_file;
	const char *chain_param; /* for messages: "smtpd_tls_chain_files" */
	const char *cert_params; /* "smtpd_tls_cert_file, ..." */
	const char *ca_file, *ca_path;
	const char *dh_file;
	const char *protocols;
	const char *digest; /* of fingerprints */
	const char *sni_maps;
	bool ask_cert; /* server: of the client */
	int verify_depth;
	int log_level;
	int64_t session_life; /* seconds; 0: no resumption */
	bool always_issue_ids;
	const char *ticket_file; /* server */
	const char *service;     /* its name: sessions stay within a service */
};

struct tls_context {
	SSL_CTX *ctx;
	struct tls_config config;
	EVP_MD *digest;
	struct tls_tickets *tickets; /* or NULL */
	struct maps *sni;            /* or NULL */
	uint64_t protocols_off;
};

/* NULL: logged; TLS is not available. */
struct tls_context *tls_context_new(const struct tls_config *c);
void tls_context_free(struct tls_context *t);

#endif
