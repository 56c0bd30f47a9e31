/* SPDX-License-Identifier: MIT */
/* .forward and :include: files. */
#include <stdlib.h>

#include "lib/addr/alias.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "local/local.h"

size_t
local_file_items(struct local_job *j, const struct local_addr *a,
		 struct span text, const char *extension)
{
	struct strvec items = STRVEC_INIT;
	struct span line;
	size_t n = 0;

	while (alias_next_line(&text, (size_t)conf->line_length_limit, &line)) {
		strvec_reset(&items);
		alias_parse(line, &items);
		n += items.n;
		for (size_t i = 0; i < items.n; i++)
			local_deliver_item(j, a, items.v[i], extension);
	}
	strvec_free(&items);
	return n;
}

/* What path says, with the account's rights. */
static enum as_user_read
read_forward(const struct local_account *acc, const char *path,
	     struct buf *text, struct why *why)
{
	const struct as_user_id id = {.kind = AS_USER_PLAIN,
				      .uid = acc->uid,
				      .gid = acc->gid,
				      .user = acc->name};
	struct as_user *u = as_user_get(&id, why);
	struct buf warning = BUF_INIT;
	enum as_user_read st = AS_USER_READ_ERROR;

	if (u)
		st = as_user_read(u, path, false, text, &warning, why);
	if (st == AS_USER_READ_REFUSED && !warning.len)
		buf_append_span(&warning, buf_span(&why->text));
	local_warn(&warning);
	buf_free(&warning);
	return st;
}

/* The first file of forward_path that is there. */
static enum as_user_read
find_forward(const struct local_addr *a, const struct local_account *acc,
	     struct buf *text, bool *with_extension, struct why *why)
{
	struct strvec paths = STRVEC_INIT;
	struct buf path = BUF_INIT;
	enum as_user_read st = AS_USER_READ_ABSENT;

	strvec_split(&paths, span_of(conf->forward_path), ", \t\r\n", true);
	for (size_t i = 0;
	     i < paths.n && st != AS_USER_READ_OK && st != AS_USER_READ_ERROR;
	     i++) {
		bool wants = strstr(paths.v[i], "extension") != NULL;

		/* Without extension it would be a name nobody means. */
		if (wants && !a->extension)
			continue;
		buf_reset(&path);
		local_expand(paths.v[i], a, acc, conf->forward_expansion_filter,
			     &path);
		if (!path.len || path.data[0] != '/')
			continue;
		buf_reset(text);
		st = read_forward(acc, buf_cstr(&path), text, why);
		*with_extension = wants;
	}
	strvec_free(&paths);
	buf_free(&path);
	return st;
}

bool
local_dotforward(struct local_job *j, const struct local_addr *a,
		 const struct local_account *acc)
{
	struct local_addr next = *a;
	struct buf text = BUF_INIT;
	struct why why = WHY_INIT;
	bool with_extension = false, handled = false;
	enum as_user_read st;

	if (!*conf->forward_path)
		return false;
	st = find_forward(a, acc, &text, &with_extension, &why);
	if (st == AS_USER_READ_ERROR) {
		local_report(j, a, &why);
		handled = true;
	} else if (st == AS_USER_READ_OK) {
		bool keep = !with_extension &&
			    conf_list_has(conf->propagate_unmatched_extensions,
					  "forward");

		next.home = acc;
		next.alias = NULL;
		next.origin = FROM_FORWARD;
		next.rights = (struct local_rights){acc->uid, acc->gid, ""};
		if (strlen(acc->name) < sizeof(next.rights.user))
			memcpy(next.rights.user, acc->name,
			       strlen(acc->name) + 1);
		/* Commands and files of root's are not run as root. */
		if (acc->uid == 0)
			next.rights = *local_default_rights();
		handled = local_file_items(j, &next, buf_span(&text),
					   keep ? a->extension : NULL) > 0;
	}
	buf_free(&text);
	why_free(&why);
	return handled;
}

/* A process that may read path: the user's own, or its owner's. */
static struct as_user *
include_reader(const struct local_addr *a, const char *path, struct why *why)
{
	const struct local_rights *def = local_default_rights();
	struct as_user_id id = {.kind = AS_USER_PLAIN,
				.uid = a->rights.uid,
				.gid = a->rights.gid,
				.user = a->rights.user};

	if (!a->home) {
		id.kind = AS_USER_FILE_OWNER;
		id.path = path;
		id.uid = def->uid;
		id.gid = def->gid;
		id.user = def->user;
	}
	return as_user_get(&id, why);
}

void
local_include(struct local_job *j, const struct local_addr *a, const char *path)
{
	struct buf text = BUF_INIT, warning = BUF_INIT;
	enum as_user_read st = AS_USER_READ_REFUSED;
	struct local_addr next = *a;
	struct why why = WHY_INIT;
	struct as_user *u = NULL;

	if (*path != '/') {
		buf_printf(&warning, ":include:%s uses a relative path", path);
	} else if (!local_first_time(j, "include %s", path)) {
		return;
	} else if (!(u = include_reader(a, path, &why))) {
		st = AS_USER_READ_ERROR;
	} else {
		st = as_user_read(u, path, true, &text, &warning, &why);
	}
	if (st == AS_USER_READ_ABSENT)
		buf_printf(&warning, "unable to lookup :include: file %s",
			   path);
	else if (st == AS_USER_READ_REFUSED && !warning.len)
		buf_append_span(&warning, buf_span(&why.text));
	local_warn(&warning);
	if (st == AS_USER_READ_OK) {
		bool keep = conf_list_has(conf->propagate_unmatched_extensions,
					  "include");

		next.origin = FROM_INCLUDE;
		next.forward = true;
		as_user_ids(u, &next.rights.uid, &next.rights.gid);
		if (!a->home)
			next.rights.user[0] = '\0';
		local_file_items(j, &next, buf_span(&text),
				 keep ? a->extension : NULL);
	} else if (st == AS_USER_READ_ERROR ||
		   (why_is_set(&why) && why_class(&why) == WHY_DEFER)) {
		local_reportf(j, a, "4.3.5", "mail system configuration error");
	} else {
		local_reportf(j, a, "5.3.5", "mail system configuration error");
	}
	buf_free(&text);
	buf_free(&warning);
	why_free(&why);
}
