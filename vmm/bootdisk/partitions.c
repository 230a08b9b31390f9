// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/partitions.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define SECTOR 512

struct mbr_entry {
	uint8_t status, first_chs[3], type, last_chs[3];
	uint32_t first, sectors;
} __attribute__((packed));

struct mbr {
	uint8_t code[446];
	struct mbr_entry entry[4];
	uint8_t signature[2];
} __attribute__((packed));

struct gpt_header {
	char signature[8];
	uint32_t revision, size, crc, reserved;
	uint64_t own, other, first_usable, last_usable;
	uint8_t disk[16];
	uint64_t entries;
	uint32_t count, entry_size, entries_crc;
} __attribute__((packed));

struct gpt_entry {
	uint8_t type[16], own[16];
	uint64_t first, last, attributes;
} __attribute__((packed));

/* Adds @sectors sectors from @first on, if they are within the image. */
static unsigned int add(struct partition *found, unsigned int n, uint64_t size, uint64_t first,
			uint64_t sectors)
{
	uint64_t all = size / SECTOR;
	if (n == PARTITIONS_MAX || first == 0 || sectors == 0 || first >= all ||
	    sectors > all - first)
		return n;
	found[n] = (struct partition){first * SECTOR, sectors * SECTOR};
	return n + 1;
}

static unsigned int find_gpt(struct source *source, struct partition *found)
{
	static const uint8_t unused[16];
	struct gpt_header header;
	struct gpt_entry entry;
	uint64_t size = source->size;
	unsigned int n = 0;

	if (source_read(source, SECTOR, &header, sizeof(header)) != 0 ||
	    memcmp(header.signature, "EFI PART", 8) != 0)
		return 0;
	uint64_t at = le64toh(header.entries), entry_size = le32toh(header.entry_size);
	uint32_t count = le32toh(header.count);
	if (at > size / SECTOR || entry_size < sizeof(entry) || entry_size > SECTOR * 8)
		return 0;
	for (uint32_t i = 0; i < count && i < PARTITIONS_MAX; i++) {
		if (source_read(source, at * SECTOR + i * entry_size, &entry, sizeof(entry)) != 0)
			break;
		uint64_t first = le64toh(entry.first), last = le64toh(entry.last);
		if (memcmp(entry.type, unused, sizeof(unused)) != 0 && last >= first &&
		    last < UINT64_MAX)
			n = add(found, n, size, first, last - first + 1);
	}
	return n;
}

static unsigned int find_mbr(struct source *source, struct partition *found)
{
	struct mbr mbr;
	unsigned int n = 0;

	if (source_read(source, 0, &mbr, sizeof(mbr)) != 0 || mbr.signature[0] != 0x55 ||
	    mbr.signature[1] != 0xaa)
		return 0;
	for (unsigned int i = 0; i < 4; i++)
		if (mbr.entry[i].type != 0)
			n = add(found, n, source->size, le32toh(mbr.entry[i].first),
				le32toh(mbr.entry[i].sectors));
	return n;
}

unsigned int partitions_find(struct source *source, struct partition found[PARTITIONS_MAX])
{
	unsigned int n = find_gpt(source, found);
	if (n == 0)
		n = find_mbr(source, found);
	if (n > 0 || source->size == 0)
		return n;
	found[0] = (struct partition){0, source->size};
	return 1;
}
