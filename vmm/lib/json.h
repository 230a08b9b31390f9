/* SPDX-License-Identifier: Apache-2.0 */
/* What jansson lacks. Thread: any. */
#ifndef EBB_LIB_JSON_H
#define EBB_LIB_JSON_H

#include <jansson.h>
#include <stdint.h>

/* A new integer, or NULL. JSON's integers end at 2^63 here; a figure beyond that is shown as the largest. */
static inline json_t *json_count(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

#endif
