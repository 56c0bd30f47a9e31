/* SPDX-License-Identifier: MIT */
#include "lib/ipc/ipc.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

enum {
	HEAD = 4,		/* length */
	BODY_MIN = 4,		/* type, number of attributes */
	ATTR_HEAD = 6,		/* id, length */
	READ_SIZE = 64 * 1024,
	FDS_PER_CALL = 16,
};

void
ipc_init(struct ipc *c, int fd)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
}

void
ipc_close(struct ipc *c)
{
	for (size_t i = 0; i < c->n_in_fds; i++)
		close(c->in_fds[i]);
	for (size_t i = 0; i < c->n_out_fds; i++)
		close(c->out_fds[i].fd);
	c->n_in_fds = c->n_out_fds = 0;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_free(&c->in);
	buf_free(&c->out);
	free(c->values);
	c->values = NULL;
	c->in_used = 0;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait for events until the deadline (ms, -1: none). */
static enum ipc_status
wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left = deadline < 0 ? -1 : deadline - now_ms();
	int n;

	if (deadline >= 0 && left < 0)
		left = 0;
	n = poll(&p, 1, left > 1000000000 ? 1000000000 : (int)left);
	if (n < 0)
		return IPC_ERROR;
	return n == 0 ? IPC_TIMEOUT : IPC_OK;
}

bool
ipc_connect(struct ipc *c, const char *path, int timeout)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = timeout};
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(sa.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return false;
	}
	ipc_init(c, fd);
	return true;
}

static void
put16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_append(b, &v, sizeof(v));
}

static void
put32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_append(b, &v, sizeof(v));
}

static uint16_t
get16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t
get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

void
ipc_begin(struct ipc *c, enum msg_type type)
{
	if (!proto_msg(type))
		log_panic("ipc_begin: no message type %d", type);
	c->frame = c->out.len;
	c->nattrs = 0;
	put32(&c->out, 0);
	put16(&c->out, (uint16_t)type);
	put16(&c->out, 0);
}

void
ipc_put_num(struct ipc *c, enum msg_attr attr, int64_t value)
{
	uint64_t v = htole64((uint64_t)value);

	put16(&c->out, (uint16_t)attr);
	put32(&c->out, sizeof(v));
	buf_append(&c->out, &v, sizeof(v));
	c->nattrs++;
}

void
ipc_put(struct ipc *c, enum msg_attr attr, struct span value)
{
	const struct attr_def *def = proto_attr(attr);
	char *p;

	if (!def || def->kind == ATTR_NUM)
		log_panic("ipc_put: attribute %d is no text", attr);
	if (value.len > def->max)
		value.len = def->max;
	put16(&c->out, (uint16_t)attr);
	put32(&c->out, (uint32_t)value.len);
	buf_append_span(&c->out, value);
	p = c->out.data + c->out.len - value.len;
	for (size_t i = 0; def->kind == ATTR_TEXT && i < value.len; i++)
		if (p[i] == '\0' || p[i] == '\n' || p[i] == '\r')
			p[i] = '?';
	c->nattrs++;
}

void
ipc_put_cstr(struct ipc *c, enum msg_attr attr, const char *value)
{
	ipc_put(c, attr, span_of(value));
}

void
ipc_put_why(struct ipc *c, const struct why *w)
{
	ipc_put_cstr(c, A_DSN, w->dsn);
	ipc_put(c, A_TEXT, buf_span(&w->text));
	if (w->code)
		ipc_put_num(c, A_CODE, w->code);
	if (w->mta.len)
		ipc_put(c, A_MTA, buf_span(&w->mta));
	if (w->diagnostic.len)
		ipc_put(c, A_DIAGNOSTIC, buf_span(&w->diagnostic));
	if (w->diag_type)
		ipc_put_cstr(c, A_DIAG_TYPE, w->diag_type);
}

void
ipc_end(struct ipc *c)
{
	uint32_t len = (uint32_t)(c->out.len - c->frame - HEAD);
	uint32_t le = htole32(len);
	uint16_t n = htole16(c->nattrs);

	if (len > IPC_FRAME_MAX)
		log_panic("ipc_end: frame of %u bytes", len);
	memcpy(c->out.data + c->frame, &le, sizeof(le));
	memcpy(c->out.data + c->frame + HEAD + 2, &n, sizeof(n));
}

void
ipc_end_fd(struct ipc *c, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		log_fatal_code(75, "ipc: no descriptor left: %m");
	if (c->n_out_fds == IPC_FDS_MAX)
		log_panic("ipc_end_fd: too many descriptors");
	c->out_fds[c->n_out_fds].at = c->frame;
	c->out_fds[c->n_out_fds++].fd = copy;
	ipc_end(c);
}

/*
 * One sendmsg: up to the next frame that carries a descriptor, which starts
 * a call of its own so that the descriptor arrives with its first byte.
 */
static ssize_t
send_some(struct ipc *c, int flags)
{
	struct iovec iov = {c->out.data, c->out.len};
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	bool with_fd = c->n_out_fds && c->out_fds[0].at == 0;
	ssize_t n;

	if (with_fd) {
		struct cmsghdr *cm;

		mh.msg_control = control.space;
		mh.msg_controllen = sizeof(control.space);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &c->out_fds[0].fd, sizeof(int));
	}
	if (c->n_out_fds > (with_fd ? 1u : 0u))
		iov.iov_len = c->out_fds[with_fd].at;
	n = sendmsg(c->fd, &mh, MSG_NOSIGNAL | flags);
	if (n <= 0)
		return n;
	if (with_fd) {
		close(c->out_fds[0].fd);
		c->n_out_fds--;
		memmove(c->out_fds, c->out_fds + 1,
			c->n_out_fds * sizeof(c->out_fds[0]));
	}
	for (size_t i = 0; i < c->n_out_fds; i++)
		c->out_fds[i].at -= (size_t)n;
	buf_consume(&c->out, (size_t)n);
	return n;
}

enum ipc_status
ipc_flush(struct ipc *c, int timeout)
{
	int64_t deadline = timeout < 0 ? -1 : now_ms() + timeout * 1000LL;

	while (c->out.len) {
		ssize_t n = send_some(c, MSG_DONTWAIT);
		enum ipc_status st;

		if (n >= 0 || errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return errno == EPIPE ? IPC_EOF : IPC_ERROR;
		st = wait_for(c->fd, POLLOUT, deadline);
		if (st != IPC_OK && !(st == IPC_ERROR && errno == EINTR))
			return st;
	}
	return IPC_OK;
}

enum ipc_status
ipc_push(struct ipc *c)
{
	while (c->out.len) {
		if (send_some(c, MSG_DONTWAIT) >= 0 || errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return IPC_AGAIN;
		return errno == EPIPE ? IPC_EOF : IPC_ERROR;
	}
	return IPC_OK;
}

bool
ipc_pending(const struct ipc *c)
{
	return c->out.len > 0;
}

/* Keep the descriptors of a received control block; false: too many. */
static bool
take_fds(struct ipc *c, struct msghdr *mh)
{
	bool ok = !(mh->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm;
	     cm = CMSG_NXTHDR(mh, cm)) {
		size_t n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int),
			       sizeof(fd));
			if (c->n_in_fds < IPC_FDS_MAX) {
				c->in_fds[c->n_in_fds++] = fd;
			} else {
				close(fd);
				ok = false;
			}
		}
	}
	return ok;
}

enum ipc_status
ipc_fill(struct ipc *c)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FDS_PER_CALL)];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space)};
	size_t want = 512;
	ssize_t n;

	if (c->in_used) {
		buf_consume(&c->in, c->in_used);
		c->in_used = 0;
	}
	/* Start small: an idle connection must stay cheap. */
	if (c->in.len >= want / 2)
		want = c->in.len < READ_SIZE ? c->in.len * 2 : READ_SIZE;
	if (c->in.len >= HEAD && get32(c->in.data) <= IPC_FRAME_MAX &&
	    get32(c->in.data) + HEAD - c->in.len > want &&
	    get32(c->in.data) + HEAD > c->in.len)
		want = get32(c->in.data) + HEAD - c->in.len;
	iov.iov_base = buf_reserve(&c->in, want);
	iov.iov_len = c->in.cap - c->in.len - 1;
	n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? IPC_AGAIN
		       : errno == ECONNRESET		       ? IPC_EOF
							       : IPC_ERROR;
	c->in.len += (size_t)n;
	c->in.data[c->in.len] = '\0';
	if (!take_fds(c, &mh))
		return IPC_BAD;
	if (n > 0)
		return IPC_OK;
	errno = 0;
	return IPC_EOF;
}

/* Does the value satisfy its definition? */
static bool
value_ok(const struct attr_def *def, struct span s)
{
	if (def->kind == ATTR_NUM)
		return s.len == 8;
	if (s.len > def->max)
		return false;
	return def->kind == ATTR_BYTES ||
	       (span_find(s, '\0') < 0 && span_find(s, '\n') < 0 &&
		span_find(s, '\r') < 0);
}

/* Check which attributes are there against the message's rules. */
static bool
rules_ok(const struct msg_def *def, const struct ipc_msg *msg)
{
	uint8_t seen[MSG_ATTR_COUNT] = {0};

	for (size_t i = 0; i < msg->n; i++)
		if (seen[msg->v[i].attr] < 2)
			seen[msg->v[i].attr]++;
	for (const struct attr_rule *r = def->rules; r->attr != A_NONE; r++) {
		if ((r->use == USE_REQUIRED && seen[r->attr] != 1) ||
		    (r->use == USE_OPTIONAL && seen[r->attr] > 1))
			return false;
		seen[r->attr] = 0;
	}
	for (size_t i = 0; i < MSG_ATTR_COUNT; i++)
		if (seen[i])
			return false;
	return true;
}

static bool
decode(struct ipc *c, struct span body, struct ipc_msg *msg)
{
	const struct msg_def *def = proto_msg(get16(body.data));
	size_t n = get16(body.data + 2);

	if (!def || n > IPC_ATTRS_MAX)
		return false;
	msg->type = get16(body.data);
	msg->fd = -1;
	msg->n = n;
	c->values = mem_realloc(c->values, n + 1, sizeof(*c->values));
	msg->v = c->values;
	body = span_from(body, BODY_MIN);
	for (size_t i = 0; i < n; i++) {
		const struct attr_def *ad;
		struct ipc_value *v = &msg->v[i];
		size_t len;

		if (body.len < ATTR_HEAD)
			return false;
		ad = proto_attr(get16(body.data));
		len = get32(body.data + 2);
		if (!ad || len > body.len - ATTR_HEAD)
			return false;
		v->attr = get16(body.data);
		v->bytes = span_make(body.data + ATTR_HEAD, len);
		v->num = 0;
		if (!value_ok(ad, v->bytes))
			return false;
		if (ad->kind == ATTR_NUM) {
			uint64_t num;

			memcpy(&num, v->bytes.data, sizeof(num));
			v->num = (int64_t)le64toh(num);
		}
		body = span_from(body, ATTR_HEAD + len);
	}
	if (body.len != 0 || !rules_ok(def, msg))
		return false;
	if (def->carries_fd) {
		if (c->n_in_fds == 0)
			return false;
		msg->fd = c->in_fds[0];
		c->n_in_fds--;
		memmove(c->in_fds, c->in_fds + 1,
			c->n_in_fds * sizeof(c->in_fds[0]));
	}
	return true;
}

enum ipc_status
ipc_next(struct ipc *c, struct ipc_msg *msg)
{
	struct span in = span_from(buf_span(&c->in), c->in_used);
	size_t len;

	if (in.len < HEAD)
		return IPC_AGAIN;
	len = get32(in.data);
	if (len < BODY_MIN || len > IPC_FRAME_MAX)
		return IPC_BAD;
	if (in.len - HEAD < len)
		return IPC_AGAIN;
	c->in_used += HEAD + len;
	return decode(c, span_make(in.data + HEAD, len), msg) ? IPC_OK
							      : IPC_BAD;
}

enum ipc_status
ipc_recv(struct ipc *c, struct ipc_msg *msg, int timeout)
{
	int64_t deadline = timeout < 0 ? -1 : now_ms() + timeout * 1000LL;
	enum ipc_status st;

	while ((st = ipc_next(c, msg)) == IPC_AGAIN) {
		st = ipc_fill(c);
		if (st == IPC_AGAIN)
			st = wait_for(c->fd, POLLIN, deadline);
		if (st != IPC_OK)
			return st;
	}
	return st;
}

static const struct ipc_value *
find(const struct ipc_msg *msg, enum msg_attr attr)
{
	for (size_t i = 0; i < msg->n; i++)
		if (msg->v[i].attr == attr)
			return &msg->v[i];
	return NULL;
}

bool
ipc_has(const struct ipc_msg *msg, enum msg_attr attr)
{
	return find(msg, attr) != NULL;
}

struct span
ipc_get(const struct ipc_msg *msg, enum msg_attr attr)
{
	const struct ipc_value *v = find(msg, attr);

	return v ? v->bytes : span_make("", 0);
}

int64_t
ipc_num(const struct ipc_msg *msg, enum msg_attr attr, int64_t dflt)
{
	const struct ipc_value *v = find(msg, attr);

	return v ? v->num : dflt;
}

char *
ipc_dup(const struct ipc_msg *msg, enum msg_attr attr)
{
	struct span s = ipc_get(msg, attr);

	return mem_strndup(s.data, s.len);
}

bool
ipc_get_why(const struct ipc_msg *msg, struct why *w)
{
	struct span dsn = ipc_get(msg, A_DSN);
	struct span type = ipc_get(msg, A_DIAG_TYPE);

	why_reset(w);
	if (dsn.len == 0 || dsn_code_length(dsn) != dsn.len)
		return false;
	memcpy(w->dsn, dsn.data, dsn.len);
	w->dsn[dsn.len] = '\0';
	w->code = (int)ipc_num(msg, A_CODE, 0);
	buf_set(&w->text, ipc_get(msg, A_TEXT));
	buf_set(&w->mta, ipc_get(msg, A_MTA));
	buf_set(&w->diagnostic, ipc_get(msg, A_DIAGNOSTIC));
	w->diag_type = span_equal_cstr(type, "smtp")	 ? "smtp"
		       : span_equal_cstr(type, "x-unix") ? "x-unix"
							 : NULL;
	return true;
}

void
ipc_dump(const struct ipc_msg *msg, struct buf *out)
{
	buf_append_cstr(out, proto_msg(msg->type)->name);
	for (size_t i = 0; i < msg->n; i++) {
		const struct attr_def *ad = proto_attr(msg->v[i].attr);

		if (ad->kind == ATTR_NUM)
			buf_printf(out, " %s=%lld", ad->name,
				   (long long)msg->v[i].num);
		else
			buf_printf(out, " %s=%.*s", ad->name,
				   SPAN_ARG(msg->v[i].bytes));
	}
}

unsigned
ipc_peer_uid(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return (unsigned)-1;
	return cred.uid;
}
