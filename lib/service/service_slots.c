/* SPDX-License-Identifier: MIT */
#include "lib/service/service_slots.h"

#include <sys/mman.h>

#include "lib/base/log.h"
#include "lib/service/service.h"

void *
service_shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		log_fatal("mmap %zu bytes: %m", size);
	return p;
}

int
slots_for_limit(int limit)
{
	return limit <= 0 || limit > SLOTS_MAX ? SLOTS_MAX : limit;
}

struct slots *
slots_new(int n)
{
	size_t size = sizeof(struct slots) + (size_t)n * sizeof(struct slot);
	struct slots *s = service_shared_memory(size);

	s->n = n;
	return s;
}

int
slots_take(struct slots *s)
{
	for (int i = 0; i < s->n; i++) {
		if (atomic_load(&s->slot[i].state) != SLOT_FREE)
			continue;
		atomic_store(&s->slot[i].served, 0);
		atomic_store(&s->slot[i].state, SLOT_IDLE);
		if (atomic_load(&s->used) <= i)
			atomic_store(&s->used, i + 1);
		return i;
	}
	return -1;
}

void
slots_give_back(struct slots *s, int i)
{
	atomic_store(&s->slot[i].state, SLOT_FREE);
}

bool
slots_any_idle(const struct slots *s)
{
	int used = atomic_load(&s->used);

	for (int i = 0; i < used && i < s->n; i++) {
		if (atomic_load(&s->slot[i].state) == SLOT_IDLE)
			return true;
	}
	return false;
}
