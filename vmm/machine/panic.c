// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/panic.h"

#include <string.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/* Some hundred lines on a slow console. */
#define LAST_WORDS_NS (2 * NS_PER_S)

/* The vCPU's thread has no need to set a timer, and the sandbox does not let it. */
static void reported(void *ctx)
{
	struct panic *panic = ctx;

	if (wake_take(panic->report.fd) &&
	    wake_timer_at(panic->limit.fd, clock_ns() + LAST_WORDS_NS) < 0)
		panic->over(panic->ctx);
}

static void limit_rang(void *ctx)
{
	struct panic *panic = ctx;

	if (wake_take(panic->limit.fd))
		panic->over(panic->ctx);
}

int panic_init(struct panic *panic, struct loop *loop, void (*over)(void *ctx), void *ctx)
{
	*panic = (struct panic){.loop = loop, .over = over, .ctx = ctx};
	panic->report = (struct loop_source){wake_open(), reported, panic};
	panic->limit = (struct loop_source){wake_timer_open(), limit_rang, panic};
	int error = panic->report.fd < 0  ? panic->report.fd
		    : panic->limit.fd < 0 ? panic->limit.fd
					  : loop_add(loop, &panic->report);
	if (!error)
		error = loop_add(loop, &panic->limit);
	if (error)
		log_error("cannot wait for a panic of the guest: %s", strerror(-error));
	return error;
}

void panic_release(struct panic *panic)
{
	if (!panic->loop)
		return;
	if (panic->report.fd >= 0)
		close(panic->report.fd);
	if (panic->limit.fd >= 0)
		close(panic->limit.fd);
	panic->loop = NULL;
}

void panic_report(struct panic *panic)
{
	if (!atomic_exchange(&panic->reported, true))
		wake_ring(panic->report.fd);
}

bool panic_reported(const struct panic *panic)
{
	return atomic_load(&panic->reported);
}
