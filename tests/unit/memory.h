/* SPDX-License-Identifier: Apache-2.0 */
/* What the host says of the memory it gave, for tests of guest RAM. */
#ifndef EBB_TESTS_MEMORY_H
#define EBB_TESTS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/* Bytes by the name of a line of smaps, of the mappings within [@at, @at + @len); 0: no such line. */
uint64_t memory_smaps(const void *at, size_t len, const char *name);
/* Whether all those mappings have the two-letter flag of VmFlags. */
bool memory_flag(const void *at, size_t len, const char *flag);
/* The number on the line @name of /proc/meminfo, in its own unit. */
uint64_t memory_host(const char *name);
/* Every byte of @len is @value. */
bool memory_is(const uint8_t *at, size_t len, uint8_t value);

/* Runs ram_init(), which must give @expected, and returns what it wrote to standard error. */
const char *memory_init_says(const struct ram_config *config, const struct gpa_range *span,
			     unsigned int spans, int expected);

/* Whether @pages huge pages of the default size are free; if not, says that @test is skipped. */
bool memory_hugepages(const char *test, uint64_t pages);

#endif
