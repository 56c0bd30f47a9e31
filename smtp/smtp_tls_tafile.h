/* SPDX-License-Identifier: MIT */
/*
 * smtp_tls_tafile - files of trust anchors (smtp_tls_trust_anchor_file, tafile
 * in a policy): certificates and public keys in PEM form that are trusted
 * like TLSA records of usage 2, wherever they stand in a chain.
 */
#ifndef SMTP_SMTP_TLS_TAFILE_H
#define SMTP_SMTP_TLS_TAFILE_H

#include "lib/tls/tls_client.h"

/* Before jail(): what of the list can be read now needs not be later. */
void smtp_tls_tafile_read(const char *list);
/* Append the anchors of a list of files. false: logged. Files are read once
 * in a process. */
bool smtp_tls_tafile_add(const char *list, struct tlsa_list *out);

#endif
