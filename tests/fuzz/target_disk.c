// SPDX-License-Identifier: Apache-2.0
/*
 * What ebb reads of a stranger's image: the partition table, the mark of another format, and the boot loader's
 * configuration. The first byte chooses.
 */
#include <string.h>

#include "tests/fuzz/host.h"
#include "vmm/bootdisk/entries.h"
#include "vmm/bootdisk/partitions.h"
#include "vmm/lib/image_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void partitions(const uint8_t *data, size_t size)
{
	static struct partition found[PARTITIONS_MAX];
	uint64_t length = size;

	/* The image is longer than its table. */
	if (size >= 8)
		memcpy(&length, data, 8);
	host_file(data, size);
	unsigned int n = partitions_find(&(struct source){.fd = HOST_FILE, .size = length}, found);
	MUST(n <= PARTITIONS_MAX);
	for (unsigned int i = 0; i < n; i++)
		MUST(found[i].size > 0 && found[i].offset <= length &&
		     found[i].size <= length - found[i].offset);
}

static void is_plain(const char *text, size_t room)
{
	MUST(strnlen(text, room) < room);
	for (; *text; text++)
		MUST((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void entry(const char *text, size_t size, bool grub)
{
	static struct boot_entry entry;
	char saved[ENTRY_FILES_SIZE];

	/* The text is GRUB's environment block, too. */
	entry_saved(text, size, saved);
	MUST(strnlen(saved, sizeof(saved)) < sizeof(saved));
	if (!(grub ? entry_from_grub(text, size, saved, &entry)
		   : entry_from_bls(text, size, &entry)))
		return;
	is_plain(entry.kernel, sizeof(entry.kernel));
	is_plain(entry.params, sizeof(entry.params));
	MUST(entry.kernel[0]);
	const char *end = entry.initrds + sizeof(entry.initrds);
	for (const char *file = entry.initrds; *file; file += strlen(file) + 1) {
		is_plain(file, (size_t)(end - file));
		MUST(file + strlen(file) + 1 < end);
	}
}

static void format(const uint8_t *data, size_t size)
{
	uint8_t first[IMAGE_FORMAT_SECTOR] = {0}, last[IMAGE_FORMAT_SECTOR] = {0};
	size_t n = size < sizeof(first) ? size : sizeof(first);

	memcpy(first, data, n);
	memcpy(last, data + size - n, n);
	image_format_name(first, last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	host_reset();
	switch (data[0] % 4) {
	case 0:
		partitions(data + 1, size - 1);
		break;
	case 1:
		format(data + 1, size - 1);
		break;
	default:
		entry((const char *)data + 1, size - 1, data[0] & 1);
	}
	return 0;
}
