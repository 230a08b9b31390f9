// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/generation.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

#include "vmm/arch/x86_64/layout.h"

int generation_begin(const struct ram *ram)
{
	uint8_t id[GENERATION_SIZE];

	if (getrandom(id, sizeof(id), GRND_NONBLOCK) != sizeof(id))
		return -EAGAIN;
	return ram_write(ram, LAYOUT_GENERATION, id, sizeof(id));
}
