/* SPDX-License-Identifier: MIT */
/* io - reading and writing descriptors completely, with time limits. */
#ifndef LIB_SYS_IO_H
#define LIB_SYS_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"

/* Microseconds: of the wall clock, of the monotonic clock. */
int64_t io_now(void);
int64_t io_monotonic(void);

/* All of it, restarted after signals; false: errno (a short read at end of
 * file is errno 0). */
bool io_write_all(int fd, const void *data, size_t len);
bool io_read_all(int fd, void *data, size_t len);
bool io_pread_all(int fd, void *data, size_t len, int64_t offset);
bool io_pwrite_all(int fd, const void *data, size_t len, int64_t offset);

/* Append a whole file to out, at most max bytes (more: errno EFBIG). */
bool io_read_file(const char *path, size_t max, struct buf *out);

/* Wait for input (output); deadline in microseconds of io_monotonic(), -1 for
 * ever. 1 ready, 0 time-out, -1 errno (EINTR included). */
int io_wait_readable(int fd, int64_t deadline);
int io_wait_writable(int fd, int64_t deadline);

bool io_set_nonblocking(int fd, bool on);
bool io_set_cloexec(int fd, bool on);

#endif
