// SPDX-License-Identifier: Apache-2.0
#include "devices/rtc/goldfish.h"

#define TIME_LOW  0x00 /* reading it saves the high half for the next read */
#define TIME_HIGH 0x04

uint32_t goldfish_read(struct goldfish *clock, uint64_t offset, uint64_t ns)
{
	switch (offset) {
	case TIME_LOW:
		atomic_store(&clock->high, (uint32_t)(ns >> 32));
		return (uint32_t)ns;
	case TIME_HIGH:
		return atomic_load(&clock->high);
	default:
		return 0;
	}
}
