// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/failing.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* An allocator has no context: of all that a test may have, this has to be of the file. */
static atomic_int left;
static atomic_bool failed;

static bool is_due(void)
{
	if (atomic_load(&left) <= 0 || atomic_fetch_sub(&left, 1) != 1)
		return false;
	atomic_store(&failed, true);
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size)
{
	return is_due() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_due() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return is_due() ? NULL : __real_realloc(old, size);
}

char *__wrap_strndup(const char *text, size_t size)
{
	return is_due() ? NULL : __real_strndup(text, size);
}

void failing_arm(unsigned int nth)
{
	json_set_alloc_funcs(__wrap_malloc, free);
	atomic_store(&failed, false);
	atomic_store(&left, (int)nth);
}

bool failing_disarm(void)
{
	atomic_store(&left, 0);
	return atomic_load(&failed);
}
