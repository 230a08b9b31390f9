// SPDX-License-Identifier: Apache-2.0
/* Reads what a user or an image says. Pure. Sources: QEMU's docs/interop/qcow2.txt; the NBD project's doc/uri.md. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/storage/storage.h"

#define MAGIC	       0x514649fb /* "QFI\xfb" */
#define VERSION_2_SIZE 72
#define INCOMPATIBLE   72 /* offset of the features, from version 3 on */
#define HEADER_LENGTH  100
#define DATA_FILE      (UINT64_C(1) << 2)
#define BACKING_FORMAT 0xe2792aca
#define EXTENSIONS_MAX 64

static uint32_t get32(const uint8_t *data, size_t offset)
{
	uint32_t value;

	memcpy(&value, data + offset, sizeof(value));
	return be32toh(value);
}

static uint64_t get64(const uint8_t *data, size_t offset)
{
	uint64_t value;

	memcpy(&value, data + offset, sizeof(value));
	return be64toh(value);
}

/* Copies a text of @size bytes at @offset of @data. Returns -EINVAL if it does not lie there, or does not fit. */
static int get_text(const uint8_t *data, size_t len, uint64_t offset, uint32_t size, char *text,
		    size_t room)
{
	if (size >= room || offset > len || size > len - offset ||
	    memchr(data + offset, '\0', size))
		return -EINVAL;
	memcpy(text, data + offset, size);
	text[size] = '\0';
	return 0;
}

/* Finds the format of the backing file among the extensions from @offset on. */
static int get_format(const uint8_t *data, size_t len, uint64_t offset,
		      struct storage_header *header)
{
	for (unsigned int i = 0; i < EXTENSIONS_MAX; i++) {
		if (offset + 8 > len)
			return -EINVAL;
		uint32_t type = get32(data, offset), size = get32(data, offset + 4);
		offset += 8;
		if (type == 0)
			return 0;
		if (type == BACKING_FORMAT)
			return get_text(data, len, offset, size, header->format,
					sizeof(header->format));
		if (size > len - offset)
			return -EINVAL;
		offset += (size + UINT64_C(7)) & ~UINT64_C(7);
		if (offset > len)
			return -EINVAL;
	}
	return -EINVAL;
}

int storage_parse(const uint8_t *data, size_t len, struct storage_header *header)
{
	uint64_t extensions = VERSION_2_SIZE;

	*header = (struct storage_header){0};
	if (len < VERSION_2_SIZE || get32(data, 0) != MAGIC)
		return -EINVAL;
	uint32_t version = get32(data, 4);
	if (version < 2 || (version > 2 && len < HEADER_LENGTH + 4))
		return -EINVAL;
	header->size = get64(data, 24);
	header->encrypted = get32(data, 32) != 0;
	if (version > 2) {
		header->data_file = get64(data, INCOMPATIBLE) & DATA_FILE;
		extensions = get32(data, HEADER_LENGTH);
		if (extensions < HEADER_LENGTH + 4 || extensions > len)
			return -EINVAL;
	}
	uint64_t offset = get64(data, 8);
	if (!offset)
		return 0;
	int error = get_text(data, len, offset, get32(data, 16), header->backing,
			     sizeof(header->backing));
	return error || !header->backing[0] ? -EINVAL : get_format(data, len, extensions, header);
}

/* --- NBD ------------------------------------------------------------------------------------- */

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Copies @len bytes of @from with %XX replaced. Returns 0, or -EINVAL if it does not fit. */
static int decode(char *to, size_t room, const char *from, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = from[i];
		if (c == '%') {
			int high = len - i > 2 ? hex(from[i + 1]) : -1;
			int low = len - i > 2 ? hex(from[i + 2]) : -1;
			if (high < 0 || low < 0 || !(high | low))
				return -EINVAL;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (n + 1 >= room)
			return -EINVAL;
		to[n++] = c;
	}
	to[n] = '\0';
	return 0;
}

static int parse_unix(const char *rest, struct storage_nbd *nbd)
{
	static const char key[] = "?socket=";
	const char *query = strchr(rest, '?');

	if (rest[0] != '/' || !query || strncmp(query, key, sizeof(key) - 1) != 0)
		return -EINVAL;
	const char *path = query + sizeof(key) - 1;
	if (!*path || strchr(path, '&') || decode(nbd->path, sizeof(nbd->path), path, strlen(path)))
		return -EINVAL;
	return decode(nbd->name, sizeof(nbd->name), rest + 1, (size_t)(query - rest - 1));
}

/* HOST, [IPv6], with or without a port. */
static int parse_place(const char *place, size_t len, struct storage_nbd *nbd)
{
	const char *end = place + len, *colon;

	snprintf(nbd->port, sizeof(nbd->port), "10809");
	if (*place == '[') {
		const char *close = memchr(place, ']', len);
		if (!close)
			return -EINVAL;
		place++;
		len = (size_t)(close - place);
		colon = close + 1;
	} else {
		colon = memchr(place, ':', len);
		colon = colon ? colon : end;
		len = (size_t)(colon - place);
	}
	if (len == 0 || len >= sizeof(nbd->host))
		return -EINVAL;
	memcpy(nbd->host, place, len);
	if (colon == end)
		return 0;
	size_t digits = (size_t)(end - colon - 1);
	if (*colon != ':' || digits == 0 || digits > 5 || strspn(colon + 1, "0123456789") < digits)
		return -EINVAL;
	snprintf(nbd->port, sizeof(nbd->port), "%.*s", (int)digits, colon + 1);
	return 0;
}

int storage_parse_nbd(const char *uri, struct storage_nbd *nbd)
{
	static const char tcp[] = "nbd://", local[] = "nbd+unix://";

	*nbd = (struct storage_nbd){0};
	if (strncmp(uri, local, sizeof(local) - 1) == 0)
		return parse_unix(uri + sizeof(local) - 1, nbd);
	if (strncmp(uri, tcp, sizeof(tcp) - 1) != 0)
		return -EINVAL;
	const char *place = uri + sizeof(tcp) - 1;
	size_t len = strcspn(place, "/");
	const char *name = place[len] ? place + len + 1 : "";
	if (strpbrk(place, "?#@"))
		return -EINVAL;
	int error = parse_place(place, len, nbd);
	return error ? error : decode(nbd->name, sizeof(nbd->name), name, strlen(name));
}
