// SPDX-License-Identifier: Apache-2.0
/*
 * What of RAM the device may touch: the buffers of the chains that it has, and the rings. ASan forbids the
 * rest, so that it tells of a device, or of its host, that reads or writes a buffer which it has given back,
 * or that a reset has taken from it.
 */
#include <sanitizer/asan_interface.h>
#include <string.h>

#include "tests/fuzz/guest.h"

#define GIVEN_MAX 1024

static struct {
	bool open; /* all of it: nothing is known any more */
	unsigned int given;
	struct {
		unsigned int queue;
		uint16_t head;
		const void *at;
		size_t len;
	} buffer[GIVEN_MAX];
} memory;

static uint8_t *low_buffers(void)
{
	return guest.ram.region[0].hva + GUEST_BUFFERS;
}

static void allow_all(void)
{
	ASAN_UNPOISON_MEMORY_REGION(low_buffers(), GUEST_LOW - GUEST_BUFFERS);
	ASAN_UNPOISON_MEMORY_REGION(guest.ram.region[1].hva, GUEST_HIGH_SIZE);
}

static void allow_given(void)
{
	if (memory.open)
		return;
	ASAN_POISON_MEMORY_REGION(low_buffers(), GUEST_LOW - GUEST_BUFFERS);
	ASAN_POISON_MEMORY_REGION(guest.ram.region[1].hva, GUEST_HIGH_SIZE);
	for (unsigned int i = 0; i < memory.given; i++)
		ASAN_UNPOISON_MEMORY_REGION(memory.buffer[i].at, memory.buffer[i].len);
}

void guest_memory_begin(void)
{
	memory.open = false;
	memory.given = 0;
	allow_given();
}

void guest_memory_open(void)
{
	memory.open = true;
	allow_all();
}

void guest_memory_give(unsigned int queue, uint16_t head, uint64_t gpa, uint64_t len)
{
	const void *at = ram_at(&guest.ram, gpa, 1);

	if (!at || !len || memory.open)
		return;
	/* Of a buffer that is not RAM as a whole, the device may find that out late. */
	uint64_t end = gpa < GUEST_LOW ? GUEST_LOW : GUEST_HIGH + GUEST_HIGH_SIZE;
	if (len > end - gpa)
		len = end - gpa;
	if (memory.given == GIVEN_MAX) {
		guest_memory_open();
		return;
	}
	memory.buffer[memory.given].queue = queue;
	memory.buffer[memory.given].head = head;
	memory.buffer[memory.given].at = at;
	memory.buffer[memory.given].len = len;
	memory.given++;
	ASAN_UNPOISON_MEMORY_REGION(at, len);
}

void guest_memory_take(unsigned int queue, int head)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < memory.given; i++)
		if (memory.buffer[i].queue != queue ||
		    (head != GUEST_ALL_HEADS && memory.buffer[i].head != head))
			memory.buffer[kept++] = memory.buffer[i];
	memory.given = kept;
	allow_given();
}

void guest_memory_write(uint64_t gpa, const void *data, size_t len)
{
	uint8_t *at = ram_at(&guest.ram, gpa, len);

	if (!at)
		return;
	allow_all();
	if (data)
		memcpy(at, data, len);
	else
		memset(at, 0, len);
	allow_given();
}
