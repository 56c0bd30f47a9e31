/* SPDX-License-Identifier: MIT */
/* Any bytes as frames: the decoder accepts or refuses, and what it accepts
 * can be read. The first byte says how many bytes arrive at a time. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ipc/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc c;
	struct ipc_msg msg;
	struct why w = WHY_INIT;
	struct buf dump = BUF_INIT;
	enum ipc_status st = IPC_AGAIN;
	size_t step;

	if (size < 1)
		return 0;
	step = data[0] ? data[0] : size;
	ipc_init(&c, -1);
	for (size_t at = 1; at < size && st == IPC_AGAIN; at += step) {
		size_t n = size - at < step ? size - at : step;

		buf_consume(&c.in, c.in_used);
		c.in_used = 0;
		buf_append(&c.in, data + at, n);
		while ((st = ipc_next(&c, &msg)) == IPC_OK) {
			buf_reset(&dump);
			ipc_dump(&msg, &dump);
			ipc_get_why(&msg, &w);
			free(ipc_dup(&msg, A_QUEUE_ID));
		}
	}
	why_free(&w);
	buf_free(&dump);
	ipc_close(&c);
	return 0;
}
