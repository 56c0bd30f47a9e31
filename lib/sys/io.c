/* SPDX-License-Identifier: MIT */
#include "lib/sys/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t
clock_usec(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
io_now(void)
{
	return clock_usec(CLOCK_REALTIME);
}

int64_t
io_monotonic(void)
{
	return clock_usec(CLOCK_MONOTONIC);
}

bool
io_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		p += n;
		len -= (size_t)n;
	}
	return true;
}

bool
io_read_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = 0;
			return false;
		}
		p += n;
		len -= (size_t)n;
	}
	return true;
}

bool
io_pread_all(int fd, void *data, size_t len, int64_t offset)
{
	char *p = data;

	while (len) {
		ssize_t n = pread(fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = 0;
			return false;
		}
		p += n;
		len -= (size_t)n;
		offset += n;
	}
	return true;
}

bool
io_pwrite_all(int fd, const void *data, size_t len, int64_t offset)
{
	const char *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, offset);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		p += n;
		len -= (size_t)n;
		offset += n;
	}
	return true;
}

bool
io_read_file(const char *path, size_t max, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = out->len;
	ssize_t n;
	int saved;

	if (fd < 0)
		return false;
	do {
		n = read(fd, buf_reserve(out, 16384), 16384);
		if (n > 0) {
			out->len += (size_t)n;
			out->data[out->len] = '\0';
		}
		if (out->len - start > max) {
			n = -1;
			errno = EFBIG;
			break;
		}
	} while (n > 0 || (n < 0 && errno == EINTR));
	saved = errno;
	close(fd);
	errno = saved;
	return n == 0;
}

static int
wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left = -1;
	int n;

	if (deadline >= 0) {
		left = (deadline - io_monotonic() + 999) / 1000;
		if (left < 0)
			left = 0;
		if (left > 1000000000)
			left = 1000000000;
	}
	n = poll(&p, 1, (int)left);
	return n > 0 ? 1 : n;
}

int
io_wait_readable(int fd, int64_t deadline)
{
	return wait_for(fd, POLLIN, deadline);
}

int
io_wait_writable(int fd, int64_t deadline)
{
	return wait_for(fd, POLLOUT, deadline);
}

bool
io_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 &&
	       fcntl(fd, F_SETFL,
		     on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) >= 0;
}

bool
io_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) >= 0;
}
