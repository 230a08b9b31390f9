/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EBB_LIB_ZERO_H
#define EBB_LIB_ZERO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Returns whether all of @len bytes, at least one, are zero. */
static inline bool is_zero(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

#endif
