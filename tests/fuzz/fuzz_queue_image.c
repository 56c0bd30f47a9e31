/* SPDX-License-Identifier: MIT */
/*
 * A file of any content is read without harm. The checksum of a header is
 * made to fit first, so that what comes behind it is reached.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/queue/image.h"
#include "lib/queue/queue_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_all(int fd)
{
	struct queue_place p;
	struct envelope env;
	char id[QUEUE_ID_MAX];
	int64_t at = 0, end;

	while (queue_read_image(fd, at, true, &p, id, &env) == QUEUE_READ_OK) {
		struct queue_state s;

		if (p.length <= 0 || p.offset != at)
			abort();
		queue_state_init(&s, env.n_rcpts);
		queue_state_read(fd, at + p.length, &s, &end);
		queue_state_free(&s);
		envelope_free(&env);
		at += p.length;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0 || !copy || size > 1 << 20)
		goto out;
	memcpy(copy, data, size);
	if (size >= IMAGE_HEADER) {
		struct image_header h = {0};
		size_t body = size - IMAGE_HEADER;

		h.content_length = (int64_t)(data[0] % (body + 1));
		h.envelope_length = (int64_t)body - h.content_length;
		h.content_hash =
		    image_hash(copy + IMAGE_HEADER, (size_t)h.content_length);
		h.envelope_hash =
		    image_hash(copy + IMAGE_HEADER + h.content_length,
			       (size_t)h.envelope_length);
		memcpy(h.id, "ABC", 4);
		if (data[1] & 1)
			image_encode(&h, copy);
	}
	if (write(fd, copy, size) == (ssize_t)size)
		read_all(fd);
out:
	if (fd >= 0)
		close(fd);
	free(copy);
	return 0;
}
