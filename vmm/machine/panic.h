/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's kernel has reported a panic. Linux does so before all of what it has said is on the
 * console: where another CPU was writing there it is the next step that flushes the rest. So the guest
 * runs on until it resets, which is what panic=-1 has it do, but not for long.
 *
 * Owner: the machine. Source: the kernel's kernel/panic.c, panic().
 */
#ifndef EBB_MACHINE_PANIC_H
#define EBB_MACHINE_PANIC_H

#include <stdatomic.h>
#include <stdbool.h>

#include "vmm/lib/loop.h"

struct panic {
	struct loop *loop;
	struct loop_source report; /* eventfd: rung by panic_report() */
	struct loop_source limit;  /* timerfd */
	atomic_bool reported;
	void (*over)(void *ctx); /* the guest has had its time; on the loop's thread */
	void *ctx;
};

/* Thread: main. Returns 0, or -errno after an error message. panic_release() accepts a zeroed struct. */
int panic_init(struct panic *panic, struct loop *loop, void (*over)(void *ctx), void *ctx);
void panic_release(struct panic *panic);

/* Thread: any. */
void panic_report(struct panic *panic);
bool panic_reported(const struct panic *panic);

#endif
