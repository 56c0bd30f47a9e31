/* SPDX-License-Identifier: MIT */
/*
 * queue - messages on disk. The only code that knows the layout.
 *
 * An image is what a message looks like in any file: a fixed header (magic,
 * version, lengths, checksum), the content (LF line ends), the envelope. It is
 * position independent and never changes after commit. The header is written
 * last, so that an image without a valid header or checksum was never
 * acknowledged.
 *
 *   maildrop/X	     one image a file, written by postdrop
 *   incoming/SEG    a segment: images one after another, appended by the one
 *		     process that created it and keeps a lock (flock) on it
 *   deferred/ hold/ one image a file, named by queue id, hashed; behind the
 *		     image state records (which recipients are done, why the
 *		     others are not, next attempt) with a checksum each. The
 *		     modification time is the time of the next attempt.
 *   corrupt/	     what could not be read
 *   journal/log	     which recipients of segment messages are done, and which
 *		     messages are; append-only, checksummed records, synced in
 *		     batches; rewritten when it has grown
 *   journal/receipts-N
 *		     what agents delivered that the journal may not say yet
 *		     (queue_receipt.h)
 *   journal/lock    locked by the owner
 *
 * Three roles: writers (smtpd, pickup, bounce, local, postdrop), the one
 * owner (qmgr; postsuper while qmgr is down; a lock file decides), and
 * readers (postcat, showq), which need no lock. All paths are relative to
 * queue_directory, the working directory.
 *
 * Durability: a message is committed when queue_commit() returns true: one
 * fdatasync. What the owner says (done, finish) is durable after queue_sync();
 * files are removed only after the journal records that allow it are on disk.
 */
#ifndef LIB_QUEUE_QUEUE_H
#define LIB_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/dsn/why.h"
#include "lib/queue/envelope.h"

struct htab;

enum { QUEUE_ID_MAX = 40 };

/* ---- queue ids ---- */

/* A new id, unique on this host, short or long (enable_long_queue_ids).
 * The form is Postfix's: upper-case hexadecimal, or base 52 with 'z'. */
void queue_id_new(char id[QUEUE_ID_MAX], int64_t *arrival_usec);
bool queue_id_valid(struct span s);
/* "deferred/A/ABC123": by hash_queue_names and hash_queue_depth. */
void queue_path(const char *queue_name, const char *id, struct buf *out);

/* ---- where an image is ---- */

struct queue_place {
	int fd;		   /* read only; owned by whoever holds the place */
	char *path;	   /* relative to queue_directory */
	int64_t offset;	   /* of the image in the file */
	int64_t length;	   /* of the image */
	int64_t content_offset; /* in the file */
	int64_t content_length;
};

void queue_place_close(struct queue_place *p);

enum queue_read {
	QUEUE_READ_OK,
	QUEUE_READ_END,	      /* no image at this offset (yet) */
	QUEUE_READ_CORRUPT,   /* bad magic, lengths or checksum */
	QUEUE_READ_ERROR,     /* errno */
};

/* Read the image at offset of fd. id gets the queue id. check: verify the
 * checksum of the content as well (a scan does; a hot hand-over need not). */
enum queue_read queue_read_image(int fd, int64_t offset, bool check,
				 struct queue_place *place,
				 char id[QUEUE_ID_MAX], struct envelope *env);

/* ---- writers ---- */

struct queue_writer; /* one per process: its segment and its link to qmgr */
struct queue_entry;  /* one message being written */

/* kind: "incoming" (segments, tells qmgr) or "maildrop" (a file a message).
 * Opens nothing yet; works after jail(). */
struct queue_writer *queue_writer_new(const char *kind);
/* Gives up the segment; qmgr will remove it when its messages are done. */
void queue_writer_free(struct queue_writer *w);

/*
 * Commit without telling qmgr, for a writer that has something more urgent to
 * say first; queue_writer_announce() tells it all that was held back, and ends
 * the holding back. What is never announced is found by qmgr's next scan.
 */
void queue_writer_hold_back(struct queue_writer *w);
void queue_writer_announce(struct queue_writer *w);

/* Start a message; NULL: why (4.3.0: disk full, queue_minfree, I/O). */
struct queue_entry *queue_begin(struct queue_writer *w, struct why *why);
/* The same under an id that the message has already. */
struct queue_entry *queue_begin_as(struct queue_writer *w, const char *id,
				   struct why *why);
const char *queue_entry_id(const struct queue_entry *e);
int64_t queue_entry_arrival(const struct queue_entry *e);
/* Append content, LF line ends. Errors are remembered for the commit. */
void queue_write(struct queue_entry *e, struct span content);
/* Bytes of content so far. */
int64_t queue_entry_size(const struct queue_entry *e);
/*
 * Make it durable (fdatasync), then tell qmgr. env->size (a line end counts
 * as two bytes, as on the wire) and env->arrival are filled in. On false nothing was accepted, why says 4.3.0. The entry is
 * gone either way.
 */
bool queue_commit(struct queue_entry *e, struct envelope *env,
		  struct why *why);
void queue_abort(struct queue_entry *e);

/* ---- the owner ---- */

struct queue;

/* Progress of one recipient, as recorded. */
enum rcpt_state {
	RCPT_OPEN,     /* to be tried */
	RCPT_DONE,     /* delivered, bounced or dropped */
};

/* A message that the owner has in hand. place.fd belongs to the library: it
 * may be shared with other messages, and is not to be closed. */
struct queue_message {
	char id[QUEUE_ID_MAX];
	uint64_t segment;    /* its number; 0: a file of its own */
	char queue_name[16]; /* incoming, deferred, hold */
	struct queue_place place;
	struct envelope env;
	uint8_t *state;	     /* enum rcpt_state, per env.rcpts */
	struct why *last;    /* per recipient, from state records; or NULL */
	unsigned attempts;
	bool delay_warned;
	bool expire;	     /* postsuper -e */
	void *owner_data;    /* for qmgr */
};

/*
 * Become the owner: lock, read the journal, quarantine what cannot be read
 * (one warning each), never fail for leftovers. NULL with errno EAGAIN when
 * another process owns it.
 */
struct queue *queue_own(void);
void queue_disown(struct queue *q);

/*
 * Take the messages that are in segments but that nobody told us about
 * (start, lost notifications): calls fn for each, at most max per call;
 * returns how many. The scan goes on where it stopped.
 */
size_t queue_scan_incoming(struct queue *q, size_t max,
			   void (*fn)(void *arg, struct queue_message *m),
			   void *arg);
/* Start that scan again from the beginning. */
void queue_rescan_incoming(struct queue *q);

/* The message of a MSG_ENQUEUED. NULL when it is done or known already, or
 * could not be read (logged, quarantined when corrupt). */
struct queue_message *queue_take(struct queue *q, const char *id,
				 const char *segment, int64_t offset);

/* Iterate over deferred/ (or hold/): names and next attempt times, without
 * opening files; at most max a call; 0 when a pass is complete. */
size_t queue_scan_deferred(struct queue *q, const char *queue_name,
			   size_t max,
			   void (*fn)(void *arg, const char *id,
				      int64_t next_attempt),
			   void *arg);
/* Open one of them. NULL: gone, or corrupt (quarantined, logged). */
struct queue_message *queue_open(struct queue *q, const char *queue_name,
				 const char *id);

/*
 * Deliveries outlive an owner that dies: an agent that still has the message's
 * descriptor from it may be about to finish. queue_mark_in_delivery() on
 * before the descriptor is handed out, off when all deliveries came back;
 * queue_is_in_delivery(): another owner marked it, and somebody who got the
 * descriptor from that one has it still.
 */
void queue_mark_in_delivery(const struct queue_message *m, bool on);
bool queue_is_in_delivery(const struct queue_message *m);

/* Recipient i is done: into the journal (segments) or a state record. */
void queue_rcpt_done(struct queue *q, struct queue_message *m, size_t i);
/* All done: the message is to disappear. Frees m; its files go after the
 * next queue_sync(). */
void queue_finish(struct queue *q, struct queue_message *m);
/*
 * Keep m for later: a segment message moves to deferred/, one that is there
 * gets a state record. m->state, m->last (reasons per recipient), next
 * attempt (microseconds). Frees m. On an I/O error it logs, and the message
 * stays where it is and is left alone until then, or until the next owner
 * comes: false.
 */
bool queue_defer(struct queue *q, struct queue_message *m, int64_t next);
/* Move to hold/ (from incoming or deferred). Frees m. false: logged; the
 * message stays where it is, for a minute at least. */
bool queue_hold(struct queue *q, struct queue_message *m);
/* Give m back untouched (shutdown, or because it will be scanned again). */
void queue_release(struct queue *q, struct queue_message *m);

/* Write and sync the journal, then remove what that allows. Cheap when there
 * is nothing to do. The owner calls it at most every few tens of
 * milliseconds. false: the disk refused (logged); call again later. */
bool queue_sync(struct queue *q);
/* Is anything waiting for queue_sync()? */
bool queue_unsynced(const struct queue *q);

/* postsuper's verbs, on messages that the owner does not hold active. For
 * segment messages too. Returns 1 done, 0 no such message, -1 error (logged).
 * op is enum super_op of lib/ipc/proto.h. */
int queue_super(struct queue *q, int op, const char *queue_name,
		const char *id);
/* Create the queue's directories that are missing, with Postfix's owners and
 * modes when started as root. Cheap; qmgr calls it before jail(). false on
 * error (logged). */
bool queue_make_directories(void);
/* postsuper -s: create missing directories, move files to where
 * hash_queue_depth wants them. Needs no ownership. false on error (logged). */
bool queue_repair(void);

/* ---- readers ---- */

struct queue_listing {
	char queue_name[16]; /* maildrop incoming deferred hold corrupt */
	char id[QUEUE_ID_MAX];
	const struct envelope *env;
	const uint8_t *state;	 /* per recipient; NULL: all open */
	const struct why *last;	 /* per recipient; NULL: none */
	int64_t next_attempt;	 /* microseconds, 0 when not deferred */
	bool expire;
	const struct queue_place *place;
};

/*
 * Call fn for every message in the queue (journal applied), or for id only
 * when id is not NULL. fn returns false to stop. Never fails on what a
 * running owner removes meanwhile. false: the queue cannot be read (errno).
 */
bool queue_list(const char *id, bool (*fn)(void *arg,
					   const struct queue_listing *l),
		void *arg);

/*
 * For a pickup that starts: its predecessor may have taken a message and died
 * before it could remove the file in maildrop/. queue_submitted() finds the
 * messages in segments that local users submitted, also finished ones, and
 * queue_was_taken() answers for one, by its id and its submitter. Free the
 * table with htab_free(.., free).
 */
struct htab *queue_submitted(void);
bool queue_was_taken(const struct htab *submitted, const char *id, int uid);

#endif
