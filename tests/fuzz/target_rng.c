// SPDX-License-Identifier: Apache-2.0
/* Random numbers: their rate, with a clock that the input turns. */
#include <errno.h>
#include <string.h>

#include "devices/virtio-rng/rng.h"
#include "tests/fuzz/guest.h"
#include "vmm/lib/clock.h"

static struct rng rng;
static int error;
static size_t most;
static uint64_t began;

static ssize_t numbers(void *data, size_t len, unsigned int flags)
{
	(void)flags;
	errno = error;
	if (error)
		return -1;
	if (len > most)
		len = most;
	memset(data, 0x5a, len);
	return (ssize_t)len;
}

static struct virtio_device *plug(const struct guest_record *machine)
{
	error = 0;
	most = machine->a ? machine->a : SIZE_MAX;
	rng_init(&rng, &guest.host);
	rng.random = numbers;
	began = clock_ns();
	return &rng.dev;
}

static void event(const struct guest_record *record)
{
	error = record->a & 1 ? EAGAIN : 0;
	most = record->b ? record->b : SIZE_MAX;
}

/* Never faster than it may. */
static void check(void)
{
	uint64_t ms = (clock_ns() - began) / NS_PER_MS + 1;

	MUST(ms > UINT32_MAX || rng.bytes <= RNG_BURST + ms * (RNG_BYTES_PER_S / 1000 + 1));
}

static void unplug(void)
{
}

static const uint16_t lengths[] = {1, 8, 64, 1024, 4096};

const struct guest_device guest_device = {
	.plug = plug,
	.event = event,
	.unplug = unplug,
	.check = check,
	.shape = {.writable = 4,
		  .lengths = lengths,
		  .lengths_count = sizeof(lengths) / sizeof(lengths[0])},
};
