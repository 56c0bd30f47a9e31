/* SPDX-License-Identifier: MIT */
/*
 * queue_own - what the modules of the owner's side share. Only for
 * lib/queue/queue_*.c.
 *
 * The owner keeps, per segment, one entry for each message it knows of, until
 * the segment is removed: 16 bytes or so; a segment has a bounded number of
 * messages.
 */
#ifndef LIB_QUEUE_QUEUE_OWN_H
#define LIB_QUEUE_QUEUE_OWN_H

#include <dirent.h>

#include "lib/base/htab.h"
#include "lib/base/strvec.h"
#include "lib/queue/image.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_journal.h"
#include "lib/queue/queue_state.h"

enum entry_state {
	ENTRY_IDLE,   /* nobody has it: to be taken by a scan */
	ENTRY_TAKEN,  /* in the hands of the caller */
	ENTRY_MOVING, /* copied to a file that is not synced yet */
	ENTRY_DONE,
};

struct held;

struct entry {
	int64_t offset;
	enum entry_state state;
	uint32_t not_before; /* seconds since the epoch: it could not be moved;
				until then it is left alone */
	struct held *held;   /* while taken */
};

/* A recipient of a segment message that nobody holds, done. */
struct done_rcpt {
	int64_t offset;
	uint32_t index;
};

struct segment {
	uint64_t number;
	char path[32];
	int fd;          /* -1 while nobody needs it */
	bool unlocked;   /* we have the lock: it will not grow */
	int64_t end;     /* every image before has an entry */
	struct entry *v; /* by offset */
	size_t n, cap;
	size_t n_open; /* taken or moving */
	size_t n_idle;
	struct done_rcpt *done;
	size_t n_done, cap_done;
	int64_t next_check; /* io_monotonic(): try to remove it */
};

/* A message in the caller's hands. m comes first: the two are one object. */
struct held {
	struct queue_message m;
	struct image_header h;
	struct segment *seg; /* NULL: a file of its own */
	int64_t state_end;   /* file: where the next state record goes */
	bool touched;        /* file: recipients done since the last record */
	uint32_t *fresh;     /* these */
	size_t n_fresh, cap_fresh;
};

/* A message on its way from a segment to a file, until queue_sync(). */
struct move {
	int fd;
	char *path;
	struct segment *seg;
	int64_t offset;
	bool renamed; /* the segment itself became the file */
};

struct queue {
	int lock_fd;
	struct journal journal;
	struct htab *segments; /* path -> struct segment */
	struct htab *files;    /* id -> struct held, not in a segment */
	struct htab *unsaved;  /* id -> struct queue_state: disk refused it */
	struct move *moves;
	size_t n_moves, cap_moves;
	struct strvec dirs;     /* directories to sync */
	struct strvec removals; /* files that are nothing any more, but that
				   could not be removed yet */
	int *dirty;             /* descriptors to sync and close */
	size_t n_dirty, cap_dirty;
	size_t n_touched;
	bool settle; /* a segment may have become removable */
	bool full;   /* the journal does not grow: what is done goes without */
	/* queue_scan_incoming() */
	struct strvec scan; /* segments of this pass */
	size_t scan_at;
	int64_t scan_offset; /* of that one: before it all was looked at */
	bool scanned; /* the pass is complete */
	bool missed;  /* another is needed */
	bool reader;  /* not the owner: touches nothing */
	/* receipts of this owner's agents; files of earlier owners */
	struct {
		int fd; /* -1: none yet */
		bool *used;
		size_t n;
	} receipts;
	struct strvec old_receipts;
	struct queue_walk *walk_deferred, *walk_hold;
	bool deferred_ended, hold_ended;
	/* queue_super(): where messages that nobody holds are in segments */
	struct htab *index; /* id -> struct super_place */
	int64_t index_time;
};

/* ---- queue_segment.c ---- */

bool segment_path_ok(const char *path, uint64_t *number);
struct segment *segment_get(struct queue *q, const char *path);
/* NULL unless the file exists. */
struct segment *segment_add(struct queue *q, const char *path);
struct segment *segment_by_number(struct queue *q, uint64_t number);
void segment_free(struct segment *s);
bool segment_open(struct segment *s);
/* Close the descriptor when no message needs it. */
void segment_rest(struct segment *s);
struct entry *segment_find(struct segment *s, int64_t offset);
/* The entry at offset; when new, in that state. */
struct entry *segment_put(struct segment *s, int64_t offset,
			  enum entry_state state);
void segment_set(struct segment *s, struct entry *e, enum entry_state state);
/* Leave an idle message alone until then (microseconds since the epoch). */
void segment_put_off(struct entry *e, int64_t until);
/* Is it idle, and not to be left alone? */
bool segment_entry_due(const struct entry *e);
/* Has the writer gone? Asks the lock. */
bool segment_is_unlocked(struct segment *s);
/* Make entries for the images behind s->end. Of what cannot be read in a file
 * that will not grow, a copy goes to corrupt/. true: that was the end of a
 * file that will not grow; false: more may come, or the disk failed. */
bool segment_advance(struct queue *q, struct segment *s);
void segment_add_done(struct segment *s, int64_t offset, uint32_t index);
/* Remove it from disk and table when all is done. */
void segment_settle(struct queue *q, struct segment *s, int64_t now);

/* ---- queue_corrupt.c ---- */

/* Copy length bytes (-1: to the end) to corrupt/name, durable. */
bool corrupt_save(int fd, int64_t offset, int64_t length, const char *name);
/* Move a file to corrupt/. */
bool corrupt_move(const char *path, const char *id);

/* ---- queue_owner.c ---- */

/* Take the message of an entry; NULL when it cannot be read: *st says why. */
struct held *held_from_segment(struct queue *q, struct segment *s,
			       int64_t offset, bool check, enum queue_read *st);
void held_free(struct held *h);
/* The state to be written for a message. Borrowed from it. */
struct queue_state held_state(const struct held *h, int64_t next);
/* What is to be remembered of recipients when a segment message is given
 * back. */
void held_keep_done(struct held *h);
/* Give a segment message back; its entry gets that state. */
void held_put_back(struct queue *q, struct held *h, enum entry_state state);
void queue_journal_done(struct queue *q, const struct segment *s,
			int64_t offset);
/* journal_fn; arg is the queue: into the entries of its segments. */
void queue_replay(void *arg, const struct journal_record *r);
/* The segments that are in incoming/. false: errno. */
bool queue_list_segments(struct queue *q);

/* ---- queue_move.c ---- */

/* A segment message to a file in queue_name. h stays with the caller. */
bool move_to_file(struct queue *q, struct held *h, const char *queue_name,
		  int64_t next);
/* Is there a whole copy of a segment message in deferred/ or hold/? What is
 * left of an interrupted copy is removed. */
bool move_was_done(struct queue *q, const struct image_header *h);
/* Rename, without replacing, a file of deferred/ or hold/. */
bool move_rename(struct queue *q, const char *from, const char *to);
void move_sync_dir_later(struct queue *q, const char *path);
void move_sync_fd_later(struct queue *q, int fd);
void move_sync_fds(struct queue *q);
/* Record, without more, which recipients were finished since. false: errno,
 * not logged. */
bool state_append_done(struct queue *q, struct held *h);
/* Append a state record to the file at path and set its time; sync later
 * when durable. */
bool state_append(struct queue *q, struct held *h, int64_t next, bool durable);

/* ---- queue_receipt.c ---- */

/* Take in what the agents of earlier owners put on record. */
void receipts_recover(struct queue *q);
void receipts_free(struct queue *q);

/* ---- queue_super.c ---- */

/* Is the message in a segment, and nobody has it? */
bool super_in_segment(struct queue *q, const char *id);
void super_index_free(struct queue *q);
/* Free it when it was not used for a while. */
void super_index_age(struct queue *q);

#endif
