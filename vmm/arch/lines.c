// SPDX-License-Identifier: Apache-2.0
/* Assigns interrupt lines to devices, by the same rule on every architecture, from its arch_map. */
#include <errno.h>

#include "vmm/arch/arch.h"

int arch_virtio_gsi(unsigned int index)
{
	for (unsigned int gsi = arch_map.virtio_gsi; gsi < arch_map.virtio_gsi_end; gsi++) {
		bool reserved = gsi < 32 && arch_map.reserved_gsis >> gsi & 1;
		if (!reserved && index-- == 0)
			return (int)gsi;
	}
	return -ENOSPC;
}
