// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/discard_gate.h"

#include <pthread.h>
#include <stdlib.h>

/* Not an rwlock: readers that come and go can keep the writer of one waiting for ever. */
struct discard_gate {
	pthread_mutex_t lock;
	pthread_cond_t empty;
	unsigned int inside;
	unsigned int shuts;
};

struct discard_gate *discard_gate_new(void)
{
	struct discard_gate *gate = calloc(1, sizeof(*gate));
	if (!gate)
		return NULL;
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->empty, NULL);
	return gate;
}

void discard_gate_free(struct discard_gate *gate)
{
	if (!gate)
		return;
	pthread_cond_destroy(&gate->empty);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

bool discard_gate_enter(struct discard_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	bool open = gate->shuts == 0;
	if (open)
		gate->inside++;
	pthread_mutex_unlock(&gate->lock);
	return open;
}

void discard_gate_leave(struct discard_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	if (--gate->inside == 0)
		pthread_cond_broadcast(&gate->empty);
	pthread_mutex_unlock(&gate->lock);
}

void discard_gate_close(struct discard_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->shuts++; /* before waiting: from here on no other thread enters */
	while (gate->inside > 0)
		pthread_cond_wait(&gate->empty, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

void discard_gate_open(struct discard_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	if (gate->shuts > 0)
		gate->shuts--;
	pthread_mutex_unlock(&gate->lock);
}

unsigned int discard_gate_closes(struct discard_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	unsigned int shuts = gate->shuts;
	pthread_mutex_unlock(&gate->lock);
	return shuts;
}
