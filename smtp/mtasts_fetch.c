/* SPDX-License-Identifier: MIT */
#include "smtp/mtasts_fetch.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/smtp/mta_sts.h"

enum {
	TOTAL_SECONDS = 60,   /* RFC 8461 section 3.3 */
	CONNECT_SECONDS = 30, /* for all addresses */
	HEADERS_MAX = 64 * 1024,
};

struct mtasts_fetch {
	CURL *easy;
	struct curl_slist *resolve;
	mtasts_fetch_fn fn;
	void *arg;
	struct buf text;
	size_t headers; /* bytes */
	bool too_long;
	char error[CURL_ERROR_SIZE];
};

/* A socket that libcurl waits for. */
struct waiting {
	struct event *event;
};

static struct {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	size_t n;
} loop;

/* ---- what the server sends ---- */

static size_t
on_body(char *data, size_t one, size_t n, void *arg)
{
	struct mtasts_fetch *f = arg;

	(void)one;
	if (n > MTA_STS_POLICY_MAX - f->text.len) {
		f->too_long = true;
		return 0;
	}
	buf_append(&f->text, data, n);
	return n;
}

static size_t
on_header(char *data, size_t one, size_t n, void *arg)
{
	struct mtasts_fetch *f = arg;

	(void)data;
	(void)one;
	f->headers += n;
	if (f->headers <= HEADERS_MAX)
		return n;
	f->too_long = true;
	return 0;
}

/* "text/plain", perhaps with parameters. */
static bool
is_text_plain(const char *type)
{
	struct span s = span_of(type);

	return span_starts_nocase(s, "text/plain") &&
	       (s.len == 10 || memchr("; \t", s.data[10], 3));
}

static enum tlsrpt_result
judge(const struct mtasts_fetch *f, CURLcode code, struct buf *reason)
{
	const char *type = NULL;
	long status = 0;

	if (f->too_long) {
		buf_set_cstr(reason, "the answer is too long");
		return TLSRPT_STS_FETCH_ERROR;
	}
	if (code != CURLE_OK) {
		buf_set_cstr(reason,
			     f->error[0] ? f->error : curl_easy_strerror(code));
		return code == CURLE_PEER_FAILED_VERIFICATION
			   ? TLSRPT_STS_WEBPKI_INVALID
			   : TLSRPT_STS_FETCH_ERROR;
	}
	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(f->easy, CURLINFO_CONTENT_TYPE, &type);
	if (status != 200)
		buf_printf(reason, "HTTP status %ld", status);
	else if (!is_text_plain(type))
		buf_set_cstr(reason, "the answer is not text/plain");
	else
		return TLSRPT_SUCCESS;
	return TLSRPT_STS_FETCH_ERROR;
}

static void
fetch_free(struct mtasts_fetch *f)
{
	if (f->easy) {
		curl_multi_remove_handle(loop.multi, f->easy);
		curl_easy_cleanup(f->easy);
	}
	curl_slist_free_all(f->resolve);
	buf_free(&f->text);
	free(f);
	loop.n--;
}

static void
finish(struct mtasts_fetch *f, CURLcode code)
{
	struct buf reason = BUF_INIT;
	enum tlsrpt_result result = judge(f, code, &reason);

	f->fn(f->arg, result, buf_span(&f->text), buf_cstr(&reason));
	fetch_free(f);
	buf_free(&reason);
}

/* A callback may start another fetch, but never ends one. */
static void
check_finished(void)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(loop.multi, &left))) {
		char *f = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &f);
		finish((struct mtasts_fetch *)(void *)f, msg->data.result);
	}
}

/* ---- libcurl in the event loop ---- */

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) |
		    (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	(void)arg;
	curl_multi_socket_action(loop.multi, fd, flags, &running);
	check_finished();
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	int running;

	(void)fd;
	(void)what;
	(void)arg;
	curl_multi_socket_action(loop.multi, CURL_SOCKET_TIMEOUT, 0, &running);
	check_finished();
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct waiting *w = socket;
	short flags = EV_PERSIST;

	(void)easy;
	(void)arg;
	if (w) {
		event_free(w->event);
		w->event = NULL;
	}
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(loop.multi, fd, NULL);
		free(w);
		return 0;
	}
	if (!w) {
		w = mem_alloc(sizeof(*w));
		curl_multi_assign(loop.multi, fd, w);
	}
	flags |= (short)(what & CURL_POLL_IN ? EV_READ : 0);
	flags |= (short)(what & CURL_POLL_OUT ? EV_WRITE : 0);
	w->event = event_new(loop.base, fd, flags, on_socket, NULL);
	event_add(w->event, NULL);
	return 0;
}

static int
set_timer(CURLM *multi, long msec, void *arg)
{
	struct timeval tv = {msec / 1000, msec % 1000 * 1000};

	(void)multi;
	(void)arg;
	if (msec < 0)
		event_del(loop.timer);
	else
		event_add(loop.timer, &tv);
	return 0;
}

void
mtasts_fetch_start(struct event_base *base)
{
	loop.base = base;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
	    !(loop.multi = curl_multi_init()))
		log_fatal("cannot initialise libcurl");
	loop.timer = event_new(base, -1, 0, on_timer, NULL);
	curl_multi_setopt(loop.multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(loop.multi, CURLMOPT_TIMERFUNCTION, set_timer);
	/* The next fetch from the same host is days away. */
	curl_multi_setopt(loop.multi, CURLMOPT_MAXCONNECTS, 1L);
}

/* ---- a fetch ---- */

/* libcurl never looks a name up: it is told the addresses. */
static void
set_addresses(struct mtasts_fetch *f, const char *host, int port,
	      const struct strvec *addresses)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "+%s:%d:", host, port);
	for (size_t i = 0; i < addresses->n; i++) {
		bool v6 = span_find(span_of(addresses->v[i]), ':') >= 0;

		buf_printf(&line, "%s%s%s%s", i ? "," : "", v6 ? "[" : "",
			   addresses->v[i], v6 ? "]" : "");
	}
	f->resolve = curl_slist_append(NULL, buf_cstr(&line));
	curl_easy_setopt(f->easy, CURLOPT_RESOLVE, f->resolve);
	buf_free(&line);
}

static void
set_options(struct mtasts_fetch *f)
{
	CURL *c = f->easy;

	curl_easy_setopt(c, CURLOPT_PRIVATE, f);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->error);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "Postrider MTA-STS");
	/* Neither proxies of the environment nor a user's passwords. */
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)TOTAL_SECONDS);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (conf->postrider_mta_sts_ca_file[0]) {
		curl_easy_setopt(c, CURLOPT_CAINFO,
				 conf->postrider_mta_sts_ca_file);
		curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	}
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
}

struct mtasts_fetch *
mtasts_fetch_new(const char *domain, const struct strvec *addresses,
		 mtasts_fetch_fn fn, void *arg)
{
	int port = conf->postrider_mta_sts_port;
	struct mtasts_fetch *f;
	char *host, *url;

	if (loop.n >= MTASTS_FETCHES_MAX)
		return NULL;
	f = mem_alloc(sizeof(*f));
	loop.n++;
	f->fn = fn;
	f->arg = arg;
	f->easy = curl_easy_init();
	if (!f->easy) {
		fetch_free(f);
		return NULL;
	}
	host = mem_sprintf("mta-sts.%s", domain);
	url = mem_sprintf("https://%s:%d/.well-known/mta-sts.txt", host, port);
	set_options(f);
	set_addresses(f, host, port, addresses);
	curl_easy_setopt(f->easy, CURLOPT_URL, url);
	/* It begins with a timer of zero seconds. */
	curl_multi_add_handle(loop.multi, f->easy);
	free(url);
	free(host);
	return f;
}
