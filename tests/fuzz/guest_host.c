// SPDX-License-Identifier: Apache-2.0
/* The functions that a device has of its host (struct virtio_host). */
#include "tests/fuzz/guest.h"

#include <errno.h>

static void host_interrupt(void *ctx, int source)
{
	(void)ctx;
	MUST(source == VIRTIO_INTERRUPT_CONFIG ||
	     (source >= 0 && (unsigned int)source < guest.mmio.core.dev->queues));
	guest.interrupts++;
}

static void host_defer(void *ctx, unsigned int queue)
{
	(void)ctx;
	MUST(queue < guest.mmio.core.dev->queues);
	guest.deferred |= 1u << queue;
}

static void host_defer_until(void *ctx, unsigned int queue, uint64_t ns)
{
	(void)ctx, (void)ns;
	MUST(queue < guest.mmio.core.dev->queues && guest.mmio.core.dev->ops->paced);
}

static int eventfd_of(int *fd)
{
	if (*fd < 0)
		*fd = host_eventfd();
	return *fd;
}

static int host_doorbell(void *ctx, unsigned int queue)
{
	(void)ctx;
	MUST(queue < GUEST_QUEUES);
	return eventfd_of(&guest.doorbell[queue]);
}

static int host_call(void *ctx, unsigned int queue)
{
	(void)ctx;
	MUST(queue < GUEST_QUEUES);
	return eventfd_of(&guest.call[queue]);
}

static void host_lend(void *ctx, unsigned int queue, bool lent)
{
	(void)ctx;
	guest.muted = (guest.muted & ~(1u << queue)) | (unsigned int)lent << queue;
}

/* A step must be whole pages of one region; then they are gone. */
static bool discard_step(struct discard_step *step)
{
	const struct ram *ram = &guest.ram;
	uint64_t mask = ram->page_size - 1;

	MUST(step->range.len > 0 && !((step->range.gpa | step->range.len) & mask));
	MUST(step->hva == ram_at(ram, step->range.gpa, step->range.len));
	if (guest.next_refusal && --guest.next_refusal == 0)
		return false;
	guest_memory_write(step->range.gpa, NULL, step->range.len);
	if (step->range.gpa < GUEST_BUFFERS)
		guest_rings_are_spoilt();
	return true;
}

static size_t host_discard(void *ctx, const struct gpa_range *range, size_t n,
			   struct discard_step *step, struct discard_result *result)
{
	unsigned int outside = 0;
	size_t steps = discard_plan(&guest.ram, range, n, step, &outside);

	(void)ctx;
	MUST(steps <= DISCARD_STEPS(n));
	*result = (struct discard_result){.failures = outside};
	for (size_t i = 0; i < steps; i++) {
		step[i].done = !guest.inhibited && discard_step(&step[i]);
		step[i].zero = step[i].done;
		if (step[i].done)
			result->bytes += step[i].range.len;
		else if (guest.inhibited)
			result->held_back += step[i].range.len;
		else
			result->error = -ENOMEM;
		result->failures += !step[i].done && !guest.inhibited;
	}
	return steps;
}

struct virtio_host guest_host(void)
{
	return (struct virtio_host){
		.ctx = &guest,
		.ram = &guest.ram,
		.interrupt = host_interrupt,
		.defer = host_defer,
		.defer_until = host_defer_until,
		.doorbell = host_doorbell,
		.call = host_call,
		.lend = host_lend,
		.discard = host_discard,
	};
}
