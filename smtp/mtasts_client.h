/* SPDX-License-Identifier: MIT */
/* mtasts_client - those who ask and tell, over private/mta-sts
 * (lib/smtp/sts_client.h is the other side). */
#ifndef SMTP_MTASTS_CLIENT_H
#define SMTP_MTASTS_CLIENT_H

enum {
	MTASTS_CLIENTS_MAX = 5000,
	MTASTS_CLIENT_ASKS_MAX = 100,
	MTASTS_CLIENT_OUT_MAX = 1024 * 1024, /* answers it does not read */
};

/* Takes over fd. */
void mtasts_client_new(int fd);

#endif
