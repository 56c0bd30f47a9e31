/* SPDX-License-Identifier: MIT */
/*
 * image - one message as it lies in a file: header, content, envelope.
 *
 * Header, IMAGE_HEADER bytes, little endian:
 *
 *	  0  magic "PRMAIL1\n"
 *	  8  u64 number of the file (a segment's name; 0: a file of its own)
 *	 16  u64 offset of the image in the file
 *	 24  u64 length of the content		40  u64 XXH3 of the content
 *	 32  u64 length of the envelope		48  u64 XXH3 of the envelope
 *	 56  queue id, padded with NUL (QUEUE_ID_MAX bytes)
 *	 96  24 bytes of zero
 *	120  u64 XXH3 of the bytes before
 *
 * File number and offset tie a header to its place: bytes that an earlier or
 * a hostile message left behind are never taken for an image, because nobody
 * outside knows the file number. What is behind the header never changes; the
 * header is made afresh when an image is copied to another file.
 */
#ifndef LIB_QUEUE_IMAGE_H
#define LIB_QUEUE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/queue/queue.h"

enum {
	IMAGE_HEADER = 128,
	IMAGE_ENVELOPE_MAX = 512 * 1024 * 1024,
};

struct image_header {
	uint64_t file;
	int64_t offset;
	int64_t content_length;
	int64_t envelope_length;
	uint64_t content_hash;
	uint64_t envelope_hash;
	char id[QUEUE_ID_MAX];
};

uint64_t image_hash(const void *data, size_t len);
void image_encode(const struct image_header *h, char out[IMAGE_HEADER]);
/* false: not a header, or one that is damaged. */
bool image_decode(const char in[IMAGE_HEADER], struct image_header *h);
/* Of the whole image. */
int64_t image_length(const struct image_header *h);

/* Read and check the header at offset of fd. END: nothing but zeros, or the
 * file ends within the header or before the image does. */
enum queue_read image_read_header(int fd, int64_t offset,
				  struct image_header *h);
/* Compare the content with its checksum. */
enum queue_read image_check_content(int fd, const struct image_header *h);
/* The encoded envelope, checked. data is an empty buf. */
enum queue_read image_read_envelope(int fd, const struct image_header *h,
				    struct buf *data);
/* place (fd, offsets; path NULL) of an image. */
void image_place(int fd, const struct image_header *h,
		 struct queue_place *place);
/* Write the image from at offset 0 of to, as a file of its own named id (or
 * as it is named when id is NULL). env, when not NULL, replaces the envelope.
 * end gets the length. Not synced. false: errno (EIO: damaged). */
bool image_copy(int from, const struct image_header *h, int to, const char *id,
		const struct envelope *env, int64_t *end);

#endif
