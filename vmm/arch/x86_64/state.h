/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a PC: its small devices, and what is needed to save its processors. Thread: see each part. */
#ifndef EBB_ARCH_X86_64_STATE_H
#define EBB_ARCH_X86_64_STATE_H

#include <pthread.h>
#include <stdint.h>

#include "devices/rtc/cmos.h"
#include "vmm/arch/x86_64/saved.h"

struct arch_state {
	pthread_mutex_t lock;
	uint32_t events; /* happened, not yet seen by the guest; under the lock */
	struct cmos cmos;
	uint32_t events_enabled; /* raise an interrupt, as set by the guest; under the lock */
	uint8_t general, general_enabled; /* the same of general events, bit GPE_* */
	struct saved_cpu saved;
};

#endif
