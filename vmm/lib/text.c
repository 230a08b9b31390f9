// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/text.h"

#include <stdio.h>
#include <string.h>

/* Returns the length of the UTF-8 character at @s and sets *@code; or 0. Source: RFC 3629 §4. */
static size_t utf8_length(const unsigned char *s, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
	if (len == 0)
		return 0;
	*code = len == 1 ? *s : *s & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s[i] & 0x3fu);
	}
	bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
	return *code < least[len] || *code > 0x10ffff || surrogate ? 0 : len;
}

static bool is_harmless(uint32_t code, bool lines)
{
	if (code == '\n' || code == '\t')
		return lines;
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return false;
	/* Line and paragraph separators; embeddings, overrides and isolates of direction. */
	return !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069) &&
	       code != 0x200e && code != 0x200f && code != 0x61c;
}

bool text_is_utf8(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t code;
	for (size_t len; *s; s += len) {
		len = utf8_length(s, &code);
		if (len == 0)
			return false;
	}
	return true;
}

char *text_escape(char *out, size_t size, const char *text, bool lines)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;
	while (*s) {
		char piece[4 * 4 + 1];
		uint32_t code = 0;
		size_t len = utf8_length(s, &code);
		if (len && is_harmless(code, lines)) {
			memcpy(piece, s, len);
			piece[len] = '\0';
		} else {
			len = len ? len : 1;
			for (size_t i = 0; i < len; i++)
				snprintf(piece + 4 * i, 5, "\\x%02x", s[i]);
		}
		if (used + strlen(piece) >= size)
			break;
		memcpy(out + used, piece, strlen(piece));
		used += strlen(piece);
		s += len;
	}
	out[used] = '\0';
	return out;
}

char *text_size(char *out, uint64_t bytes)
{
	bool small = bytes > 0 && bytes < 1 << 20;
	uint64_t unit = small ? 1 << 10 : 1 << 20;
	/* Round to tenths in integers: a double has 53 bits, too few for every size. */
	uint64_t tenths = bytes / unit * 10 + (bytes % unit * 10 + unit / 2) / unit;
	snprintf(out, TEXT_SIZE_MAX, "%llu.%llu %s", (unsigned long long)(tenths / 10),
		 (unsigned long long)(tenths % 10), small ? "KiB" : "MiB");
	return out;
}

size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}
