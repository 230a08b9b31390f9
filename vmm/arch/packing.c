// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/packing.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "vmm/lib/log.h"

#define TEXT_MAX 256

/* Offsets in an EFI kernel that unpacks itself (zboot). */
#define ZBOOT_MAGIC    4
#define ZBOOT_PAYLOAD  8 /* its offset and size, four bytes each */
#define ZBOOT_KIND     24
#define ZBOOT_HEADER   32
#define ZBOOT_KIND_MAX (ZBOOT_HEADER - ZBOOT_KIND)

static const struct packing {
	const char *name;
	const char *command;
	const char *magic;
	size_t size;
} packings[] = {
	{"gzip", "gzip", "\x1f\x8b", 2},
	{"xz", "xz", "\xfd\x37zXZ", 6},
	{"zstd", "zstd", "\x28\xb5\x2f\xfd", 4},
	{"bzip2", "bzip2", "BZh", 3},
	{"lz4", "lz4", "\x04\x22\x4d\x18", 4},
	{"lz4", "lz4", "\x02\x21\x4c\x18", 4}, /* the legacy format, which kernel builds use */
	{"lzo", "lzop", "\x89LZO", 4},
	{"lzma", "xz", "\x5d\x00\x00", 3},
};

/* A zboot file names its compression; for most kinds the name is that of the command. */
static const char *command_for(const char *kind)
{
	for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++)
		if (strcmp(packings[i].name, kind) == 0)
			return packings[i].command;
	return strcmp(kind, "xzkern") == 0 ? "xz" : strcmp(kind, "zstd22") == 0 ? "zstd" : NULL;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static bool zboot_advice(char *text, size_t text_size, const uint8_t *head, size_t size)
{
	char kind[ZBOOT_KIND_MAX + 1] = "";
	if (size < ZBOOT_HEADER || memcmp(head, "MZ", 2) != 0 ||
	    memcmp(head + ZBOOT_MAGIC, "zimg", 4) != 0)
		return false;
	memcpy(kind, head + ZBOOT_KIND, ZBOOT_KIND_MAX);
	const char *command = command_for(kind);
	if (command)
		snprintf(text, text_size,
			 "is packed for EFI: unpack the Image in it first: tail -c +%llu FILE | "
			 "head -c %u | %s -dc >Image",
			 get32(head + ZBOOT_PAYLOAD) + 1ULL, get32(head + ZBOOT_PAYLOAD + 4),
			 command);
	else
		snprintf(
			text, text_size,
			"is packed for EFI, in a way that ebb does not know: it wants the Image that is in it");
	return true;
}

bool packing_advice(char *text, size_t text_size, const uint8_t *head, size_t size)
{
	for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++) {
		const struct packing *packing = &packings[i];
		if (size < packing->size || memcmp(head, packing->magic, packing->size) != 0)
			continue;
		snprintf(text, text_size,
			 "is compressed with %s: unpack it first: %s -dc FILE >vmlinux",
			 packing->name, packing->command);
		return true;
	}
	return zboot_advice(text, text_size, head, size);
}

bool packing_told(const struct boot_file *source, const uint8_t *head, size_t size)
{
	char text[TEXT_MAX];
	if (!packing_advice(text, sizeof(text), head, size))
		return false;
	log_error("the %s '%s' %s", source->what, source->name, text);
	return true;
}
