/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_server.h"

#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/tls/tls_params.h"

enum {
	LIFE_MIN = 120, /* seconds a session can be resumed */
	LIFE_MAX = 100 * 86400,
};

enum tls_level
tls_level_parse(const char *param, const char *text, bool use, bool enforce)
{
	static const char *const beyond[] = {
	    "fingerprint", "dane", "dane-only", "half-dane", "verify", "secure",
	};

	if (!*text)
		return enforce ? TLS_LEVEL_ENCRYPT
		       : use   ? TLS_LEVEL_MAY
			       : TLS_LEVEL_NONE;
	if (!strcasecmp(text, "none"))
		return TLS_LEVEL_NONE;
	if (!strcasecmp(text, "may"))
		return TLS_LEVEL_MAY;
	if (!strcasecmp(text, "encrypt"))
		return TLS_LEVEL_ENCRYPT;
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		if (strcasecmp(text, beyond[i]))
			continue;
		log_warn("%s: unsupported TLS level \"%s\", using "
			 "\"encrypt\"",
			 param, text);
		return TLS_LEVEL_ENCRYPT;
	}
	log_fatal("Invalid TLS level \"%s\"", text);
}

static int64_t
session_life(void)
{
	int64_t seconds = conf->smtpd_tls_session_cache_timeout / 1000000;

	if (seconds <= 0)
		return 0;
	if (seconds < LIFE_MIN)
		return LIFE_MIN;
	return seconds < LIFE_MAX ? seconds : LIFE_MAX;
}

struct tls_config
tls_server_config(enum tls_level level, bool ask_cert, const char *service)
{
	bool must = level == TLS_LEVEL_ENCRYPT;

	return (struct tls_config){
	    .server = true,
	    .chain_files = conf->smtpd_tls_chain_files,
	    .cert_file = conf->smtpd_tls_cert_file,
	    .key_file = conf->smtpd_tls_key_file,
	    .dcert_file = conf->smtpd_tls_dcert_file,
	    .dkey_file = conf->smtpd_tls_dkey_file,
	    .eccert_file = conf->smtpd_tls_eccert_file,
	    .eckey_file = conf->smtpd_tls_eckey_file,
	    .chain_param = "smtpd_tls_chain_files",
	    .cert_params = "smtpd_tls_cert_file, smtpd_tls_eccert_file or "
			   "smtpd_tls_dcert_file",
	    .ca_file = conf->smtpd_tls_CAfile,
	    .ca_path = conf->smtpd_tls_CApath,
	    .dh_file = conf->smtpd_tls_dh1024_param_file,
	    .protocols = must ? conf->smtpd_tls_mandatory_protocols
			      : conf->smtpd_tls_protocols,
	    .digest = conf->smtpd_tls_fingerprint_digest,
	    .sni_maps = conf->tls_server_sni_maps,
	    .ask_cert = ask_cert,
	    .verify_depth = conf->smtpd_tls_ccert_verifydepth,
	    .log_level =
		tls_loglevel("smtpd_tls_loglevel", conf->smtpd_tls_loglevel),
	    .session_life = session_life(),
	    .always_issue_ids = conf->smtpd_tls_always_issue_session_ids,
	    .ticket_file =
		mem_sprintf("%s/smtpd_tls_tickets", conf->data_directory),
	    .service = service,
	};
}

struct watch *
tls_server_watch(const struct tls_config *c)
{
	struct watch *w = watch_new();

	watch_add_list(w, c->chain_files);
	watch_add_list(w, c->ca_file);
	if (*c->chain_files)
		return w;
	watch_add_list(w, c->cert_file);
	watch_add_list(w, c->dcert_file);
	watch_add_list(w, c->eccert_file);
	if (*c->cert_file)
		watch_add_list(w, c->key_file);
	if (*c->dcert_file)
		watch_add_list(w, c->dkey_file);
	if (*c->eccert_file)
		watch_add_list(w, c->eckey_file);
	return w;
}

struct tls_wish
tls_server_wish(enum tls_level level)
{
	bool must = level == TLS_LEVEL_ENCRYPT;

	return (struct tls_wish){
	    .grade = must ? conf->smtpd_tls_mandatory_ciphers
			  : conf->smtpd_tls_ciphers,
	    .exclude = conf->smtpd_tls_exclude_ciphers,
	    .exclude_more =
		must ? conf->smtpd_tls_mandatory_exclude_ciphers : NULL,
	    .timeout = conf->smtpd_starttls_timeout,
	};
}
