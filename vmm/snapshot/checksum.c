// SPDX-License-Identifier: Apache-2.0
#include <ext2fs/ext2fs.h>

#include "vmm/snapshot/stream.h"

uint32_t snapshot_checksum(uint32_t before, const void *data, size_t len)
{
	/* libext2fs leaves the inversions at both ends to its caller. */
	return ~ext2fs_crc32c_le(~before, data, len);
}
