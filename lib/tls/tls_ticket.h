/* SPDX-License-Identifier: MIT */
/*
 * tls_ticket - session tickets that any worker can resume (RFC 5077, 8446).
 *
 * Secrets lie in one small file of the mail owner below data_directory,
 * opened before jail(): all services of an instance, and their successors
 * after a restart, share them. A service never uses a secret itself but keys
 * derived (HKDF) from it and from a context, so that it cannot even read a
 * ticket that another service gave out. Secrets are replaced every half life
 * of a session, by whichever process gives out the next ticket; old ones
 * decrypt for a life more, and are overwritten then.
 */
#ifndef LIB_TLS_TLS_TICKET_H
#define LIB_TLS_TLS_TICKET_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

struct tls_tickets;

/*
 * Open or create the file at path as owner (when root). A file that cannot be
 * had is warned about; then this process and its children share secrets of
 * their own. cipher: tls_session_ticket_cipher; NULL when it is not usable
 * (logged): no tickets. life: seconds. context: bytes that tell services
 * apart.
 */
struct tls_tickets *tls_tickets_open(const char *path, const char *owner,
				     const char *cipher, int64_t life,
				     struct span context);
void tls_tickets_free(struct tls_tickets *t);
/* Tickets of ctx from now on. t must live as long. verbose: log their use. */
void tls_tickets_attach(struct tls_tickets *t, SSL_CTX *ctx, bool verbose);

#endif
