// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_balloon.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/virtio-balloon/queues.h"

struct fake_driver guest;
struct balloon balloon;
struct discard_hook hook;

/* What the host's answer becomes when the hook changes it for step @i. */
static void alter(size_t i, struct discard_step *step, struct discard_result *result)
{
	if (hook.inhibit) {
		step[i].done = false;
		result->held_back += step[i].range.len;
		result->bytes -= step[i].range.len;
	}
	if (hook.inhibit || hook.lazy)
		step[i].zero = false;
	if (hook.refuse == (int)i) {
		step[i].done = false;
		step[i].zero = false;
		result->bytes -= step[i].range.len;
		result->failures++;
		result->error = -ENOMEM;
	}
}

static size_t discard(void *ctx, const struct gpa_range *range, size_t n, struct discard_step *step,
		      struct discard_result *result)
{
	(void)ctx;
	hook.calls++;
	hook.ranges = n;
	ck_assert_uint_le(n, sizeof(hook.range) / sizeof(hook.range[0]));
	memcpy(hook.range, range, n * sizeof(*range));
	if (hook.blocks) {
		sem_post(&hook.within);
		sem_wait(&hook.go_on);
	}
	size_t steps = ram_discard(&guest.ram, range, n, step, result);
	for (size_t i = 0; i < steps; i++)
		alter(i, step, result);
	return steps;
}

void balloon_plug(const struct balloon_config *config)
{
	fake_driver_init(&guest);
	guest.host.discard = discard;
	memset(&hook, 0, sizeof(hook));
	hook.refuse = -1;
	sem_init(&hook.within, 0, 0);
	sem_init(&hook.go_on, 0, 0);
	ck_assert_int_eq(balloon_init(&balloon, config, &guest.host), 0);
	fake_driver_plug(&guest, &balloon.dev);
}

void balloon_unplug(void)
{
	fake_driver_release(&guest);
	balloon_release(&balloon);
	sem_destroy(&hook.within);
	sem_destroy(&hook.go_on);
}

void balloon_start(uint64_t features)
{
	fake_driver_start(&guest, features, balloon_queues(features), SIZE);
}

void fill(uint64_t gpa, uint64_t len)
{
	memset(fake_driver_at(&guest, gpa, len), GUEST, len);
}

bool holds(uint64_t gpa, uint64_t len, uint8_t value)
{
	const uint8_t *at = fake_driver_at(&guest, gpa, len);
	for (uint64_t i = 0; i < len; i++)
		if (at[i] != value)
			return false;
	return true;
}

bool resident(uint64_t gpa)
{
	unsigned char page;
	ck_assert_int_eq(mincore(fake_driver_at(&guest, gpa, 4 * KIB), 4 * KIB, &page), 0);
	return page & 1;
}

bool needs_reset(void)
{
	return fake_driver_get(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

uint32_t serve_chain(unsigned int queue, const struct gpa_range *buffer, unsigned int n,
		     unsigned int readable)
{
	struct vring_used_elem element;
	uint16_t head = fake_queue_add(&guest.queue[queue], buffer, n, readable);

	fake_driver_kick(&guest, queue);
	ck_assert(fake_queue_used(&guest.queue[queue], &element));
	ck_assert_uint_eq(element.id, head);
	return element.len;
}
