// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/boot.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH_MAX (8U << 20)

static struct {
	const uint8_t *bytes;
	size_t size, length, initrd;
} files;

struct ram boot_ram(uint64_t gpa, size_t size)
{
	static void *memory;

	if (!memory)
		MUST(posix_memalign(&memory, 4096, size) == 0);
	return (struct ram){.region = {{gpa, size, memory}}, .regions = 1, .page_size = 4096};
}

void boot_files(const uint8_t *bytes, size_t size, size_t length, size_t initrd)
{
	files.bytes = bytes;
	files.size = size;
	files.length = length < size ? size : length < LENGTH_MAX ? length : LENGTH_MAX;
	files.initrd = initrd;
}

uint64_t boot_file_length(void)
{
	return files.length;
}

int boot_file_open(struct boot_file *source, const char *path, const char *name, const char *what,
		   uint64_t limit)
{
	(void)name, (void)limit;
	*source = (struct boot_file){path, what, 3, 0};
	source->size = strcmp(what, "kernel") == 0 ? files.length : files.initrd;
	return 0;
}

void boot_file_close(struct boot_file *source)
{
	source->fd = -1;
}

int boot_file_read(const struct boot_file *source, uint64_t offset, void *to, uint64_t size)
{
	size_t there = strcmp(source->what, "kernel") == 0 ? files.size : 0;

	/* The callers know the file's size. */
	MUST(size <= source->size && offset <= source->size - size);
	memset(to, 0, size);
	if (offset < there)
		memcpy(to, files.bytes + offset, size < there - offset ? size : there - offset);
	return 0;
}
