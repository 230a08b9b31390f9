// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/riscv64/plic.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PENDING		 0x001000
#define ENABLED		 0x002000
#define ENABLED_EACH	 0x80
#define CONTEXT_EACH	 0x1000
#define THRESHOLD	 0
#define CLAIM		 4
#define PRIORITY_MAX	 7
#define ALL_BUT_SOURCE_0 (~1U)

int plic_init(struct plic *plic, unsigned int contexts,
	      void (*interrupt)(void *ctx, unsigned int context, bool level), void *ctx)
{
	*plic = (struct plic){.ctx = ctx, .interrupt = interrupt, .contexts = contexts};
	plic->context = calloc(contexts, sizeof(plic->context[0]));
	if (!plic->context)
		return -ENOMEM;
	pthread_mutex_init(&plic->lock, NULL);
	return 0;
}

void plic_release(struct plic *plic)
{
	if (!plic->context)
		return;
	pthread_mutex_destroy(&plic->lock);
	free(plic->context);
	plic->context = NULL;
}

/* Returns the source for a context to serve: highest priority, then lowest number; 0: none. */
static unsigned int first(const struct plic *plic, const struct plic_context *context,
			  uint32_t above)
{
	uint32_t ready = plic->pending & ~plic->claimed & context->enabled;
	unsigned int best = 0;

	for (unsigned int i = 1; i < PLIC_SOURCES; i++)
		if (ready >> i & 1 && plic->priority[i] > above) {
			best = i;
			above = plic->priority[i];
		}
	return best;
}

/* Call it after each change, with the lock held. */
static void update(struct plic *plic)
{
	for (unsigned int i = 0; i < plic->contexts; i++) {
		struct plic_context *context = &plic->context[i];
		bool raised = first(plic, context, context->threshold) != 0;
		if (raised == context->raised)
			continue;
		context->raised = raised;
		plic->interrupt(plic->ctx, i, raised);
	}
}

void plic_line(struct plic *plic, unsigned int source, bool level)
{
	if (source == 0 || source >= PLIC_SOURCES)
		return;
	uint32_t bit = 1U << source;

	pthread_mutex_lock(&plic->lock);
	if (level && !(plic->high & bit)) {
		plic->pending |= bit;
		plic->high |= bit;
		update(plic);
	} else if (!level) {
		plic->high &= ~bit;
	}
	pthread_mutex_unlock(&plic->lock);
}

/* Ignores the threshold, which only masks the interrupt: a claim returns any pending source. */
static uint32_t claim(struct plic *plic, const struct plic_context *context)
{
	unsigned int source = first(plic, context, 0);
	if (source) {
		plic->pending &= ~(1U << source);
		plic->claimed |= 1U << source;
	}
	return source;
}

static void complete(struct plic *plic, const struct plic_context *context, uint32_t source)
{
	if (source == 0 || source >= PLIC_SOURCES)
		return;
	uint32_t bit = 1U << source;
	if (!(context->enabled & plic->claimed & bit))
		return;
	plic->claimed &= ~bit;
	plic->pending |= plic->high & bit;
}

/*
 * Returns the context that *@offset is in, where contexts begin at @base and have @each bytes of
 * registers each. Makes *@offset relative to the context.
 */
static struct plic_context *context_at(struct plic *plic, uint64_t *offset, uint64_t base,
				       uint64_t each)
{
	uint64_t index = (*offset - base) / each;
	*offset = (*offset - base) % each;
	return index < plic->contexts ? &plic->context[index] : NULL;
}

static uint32_t get(struct plic *plic, uint64_t offset)
{
	struct plic_context *context;

	if (offset < PENDING)
		return offset / 4 < PLIC_SOURCES ? plic->priority[offset / 4] : 0;
	if (offset < ENABLED)
		return offset == PENDING ? plic->pending : 0;
	if (offset < PLIC_CONTEXT) {
		context = context_at(plic, &offset, ENABLED, ENABLED_EACH);
		return context && offset == 0 ? context->enabled : 0;
	}
	context = context_at(plic, &offset, PLIC_CONTEXT, CONTEXT_EACH);
	if (context && offset == THRESHOLD)
		return context->threshold;
	return context && offset == CLAIM ? claim(plic, context) : 0;
}

static void set(struct plic *plic, uint64_t offset, uint32_t value)
{
	struct plic_context *context;

	if (offset < PENDING) {
		if (offset > 0 && offset / 4 < PLIC_SOURCES)
			plic->priority[offset / 4] = value & PRIORITY_MAX;
		return;
	}
	if (offset < ENABLED)
		return;
	if (offset < PLIC_CONTEXT) {
		context = context_at(plic, &offset, ENABLED, ENABLED_EACH);
		if (context && offset == 0)
			context->enabled = value & ALL_BUT_SOURCE_0;
		return;
	}
	context = context_at(plic, &offset, PLIC_CONTEXT, CONTEXT_EACH);
	if (context && offset == THRESHOLD)
		context->threshold = value & PRIORITY_MAX;
	else if (context && offset == CLAIM)
		complete(plic, context, value);
}

void plic_read(struct plic *plic, uint64_t offset, void *data, unsigned int len)
{
	uint32_t value = 0;

	memset(data, 0, len);
	if (len != sizeof(value) || offset % sizeof(value))
		return;
	pthread_mutex_lock(&plic->lock);
	value = htole32(get(plic, offset));
	update(plic);
	pthread_mutex_unlock(&plic->lock);
	memcpy(data, &value, sizeof(value));
}

void plic_write(struct plic *plic, uint64_t offset, const void *data, unsigned int len)
{
	uint32_t value;

	if (len != sizeof(value) || offset % sizeof(value))
		return;
	memcpy(&value, data, sizeof(value));
	pthread_mutex_lock(&plic->lock);
	set(plic, offset, le32toh(value));
	update(plic);
	pthread_mutex_unlock(&plic->lock);
}
